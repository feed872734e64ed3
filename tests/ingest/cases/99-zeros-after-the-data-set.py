from kit import *

# Zeros after the last element: too few for another one in the images, many in the structure set.
fresh()
made, volume = ct_series(DATA, [0, 3, 6, 9])
rtstruct(DATA / "rs.dcm", made, [(1, "liver", [("CLOSED_PLANAR", px_square(4, 9, 3, 7, z)) for z in (3.0, 6.0)])])
for path, zeros in [*((path, 2 + 2 * n) for n, path in enumerate(sorted(DATA.glob("im*.dcm"))) if n < 3), (DATA / "im003.dcm", 40), (DATA / "rs.dcm", 500)]:
    path.write_bytes(path.read_bytes() + bytes(zeros))
expect(one=dict(image=volume, affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3]), labels={"liver": box(volume.shape, 4, 9, 3, 7, [1, 2])}))
