from kit import *

# RescaleSlope 0.01: cut to a whole number it would make every voxel the same.
fresh()
stored = lambda n: (texture(n, low=0) * 100 + 20000).astype(np.uint16)
made, volume = ct_series(DATA, range(0, 18, 3), stored=stored, slope=0.01, intercept=-250.5)
rtstruct(DATA / "rs.dcm", made, [(1, "liver", [("CLOSED_PLANAR", px_square(4, 9, 3, 7, 3.0 * k)) for k in (1, 2, 3)])])
expect(one=dict(image=volume, affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3]), labels={"liver": box(volume.shape, 4, 9, 3, 7, [1, 2, 3])}))
