from kit import *

# The same closed contour twice on each of two slices (a copy-paste in the planning system), and
# once on a third.
fresh()
made, volume = ct_series(DATA, [0, 3, 6, 9, 12])
c = lambda z: ("CLOSED_PLANAR", px_square(4, 9, 3, 7, z))
rtstruct(DATA / "rs.dcm", made, [(1, "tumour", [c(3), c(3), c(6), c(9), c(9)]), (2, "ref", [("CLOSED_PLANAR", px_square(11, 13, 2, 4, 6.0))])])
m = box(volume.shape, 4, 9, 3, 7, [1, 2, 3])
expect(one=dict(image=volume, affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3]),
                labels={"tumour": m, "ref": box(volume.shape, 11, 13, 2, 4, [2])}))
