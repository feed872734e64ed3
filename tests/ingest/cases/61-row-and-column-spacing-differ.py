from kit import *

# Pixels of 3 mm between rows and 2 mm between columns: PixelSpacing names the rows' distance first.
fresh()
made, volume = ct_series(DATA, range(0, 18, 3), spacing=(3.0, 2.0))
rtstruct(DATA / "rs.dcm", made, [(1, "liver", [("CLOSED_PLANAR", px_square(4, 9, 3, 7, 3.0 * k, spacing=(3.0, 2.0))) for k in (1, 2, 3)])])
expect(one=dict(image=volume, affine=lps_affine((-16, -12, 0), (3, 2), step=[0, 0, 3]), labels={"liver": box(volume.shape, 4, 9, 3, 7, [1, 2, 3])}))
