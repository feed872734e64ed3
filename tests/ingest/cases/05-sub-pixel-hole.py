from kit import *

# A large outline with two exclusions, one of them an eighth of a pixel wide.
fresh()
made, volume = ct_series(DATA, [0, 3, 6])
big = ("CLOSED_PLANAR", px_square(2, 12, 2, 9, 3.0))
hole = ("CLOSED_PLANAR", px_square(5, 6, 5, 6, 3.0))
tiny = ("CLOSED_PLANAR", square(-3.1, -2.98, 1.05, 1.17, 3.0))
rtstruct(DATA / "rs.dcm", made, [(1, "lung", [big, hole, tiny])])
m = box(volume.shape, 2, 12, 2, 9, [1]); m[1, 5:7, 5:7] = False
expect(one=dict(image=volume, affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3]), labels={"lung": m}))
