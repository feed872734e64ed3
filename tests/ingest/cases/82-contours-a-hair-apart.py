from kit import *

# The contours of a slice were merged out of two sets whose heights were rounded differently: a
# hole, and a piece of its own, lie 0.1 mm above the outline. They are of one slice and belong
# together.
fresh()
made, volume = ct_series(DATA, range(0, 18, 3))
hole, piece = [], []
for z in (3.0, 6.0, 9.0):
    hole += [("CLOSED_PLANAR", px_square(3, 12, 2, 9, z)), ("CLOSED_PLANAR", px_square(6, 8, 5, 6, z + 0.1))]
    piece += [("CLOSED_PLANAR", px_square(0, 1, 1, 2, z + 0.1)), ("CLOSED_PLANAR", px_square(14, 15, 9, 10, z))]
rtstruct(DATA / "rs.dcm", made, [(1, "liver", hole), (2, "kidneys", piece)])
at = [1, 2, 3]
liver = box(volume.shape, 3, 12, 2, 9, at) & ~box(volume.shape, 6, 8, 5, 6, at)
kidneys = box(volume.shape, 0, 1, 1, 2, at) | box(volume.shape, 14, 15, 9, 10, at)
expect(a=dict(image=volume, affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3]), labels={"liver": liver, "kidneys": kidneys}))
