from kit import *

# Five images of one slice, by which the contrast agent was awaited, and the scan that followed, in
# one series: their acquisition numbers differ.
fresh()
zs = [9.0] * 5 + [3.0 * n for n in range(8)]
stored = lambda n: (texture(n) + 1224).astype(np.uint16)
made, volume = ct_series(DATA / "ct", zs, stored=stored, edit=lambda n, ds: setattr(ds, "AcquisitionNumber", 1 if n < 5 else 2))
contours = [("CLOSED_PLANAR", px_square(4, 9, 3, 7, z)) for z in (6.0, 9.0)]
rtstruct(DATA / "rs.dcm", made[5:], [(1, "aorta", contours)])
expect(scan=dict(image=volume[5:], affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3]), labels={"aorta": box((8, 12, 16), 4, 9, 3, 7, [2, 3])}))
