from kit import *

# All UIDs of two patients are the same, as a faulty anonymisation leaves them; the structure set is
# the first one's.
fresh()
made, volume = ct_series(DATA / "1", [0, 3, 6, 9])
_, other = ct_series(DATA / "2", [0, 3, 6, 9], patient="P2", stored=lambda n: (texture(n) + 1500).astype(np.uint16))
rtstruct(DATA / "1" / "rs.dcm", made, [(1, "liver", [("CLOSED_PLANAR", px_square(4, 9, 3, 7, z)) for z in (3.0, 6.0)])])
affine = lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3])
expect(first=dict(image=volume, affine=affine, labels={"liver": box(volume.shape, 4, 9, 3, 7, [1, 2])}), second=dict(image=other, affine=affine))
