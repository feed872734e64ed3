from kit import *

# A contour whose points go round twice, once to the last digit and once within 0.02 mm; by the
# even-odd rule it encloses nothing.
fresh()
made, volume = ct_series(DATA, range(0, 18, 3))
twice = [("CLOSED_PLANAR", px_square(4, 9, 3, 7, z) * 2) for z in (3.0, 6.0)]
around = px_square(4, 9, 3, 7, 9.0)
twice.append(("CLOSED_PLANAR", around + [[x + 0.02, y + 0.01, z] for x, y, z in around]))
rtstruct(DATA / "rs.dcm", made, [(1, "liver", twice)])
expect(a=dict(image=volume, affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3]), labels={"liver": box(volume.shape, 4, 9, 3, 7, [1, 2, 3])}))
