from kit import *

# Three structures: a sound one; one with a contour of no points; one with contours of one and of
# two points.
fresh()
made, volume = ct_series(DATA, [0, 3, 6, 9])
ok = lambda z: ("CLOSED_PLANAR", px_square(4, 9, 3, 7, z))
rtstruct(DATA / "rs.dcm", made, [(1, "liver", [ok(3), ok(6)]),
                                 (2, "spleen", [("CLOSED_PLANAR", px_square(11, 13, 2, 4, 3.0)), ("CLOSED_PLANAR", [])]),
                                 (3, "node", [("CLOSED_PLANAR", [[0, 0, 3]]), ("CLOSED_PLANAR", [[0, 0, 6], [2, 0, 6]]),
                                              ("CLOSED_PLANAR", px_square(1, 2, 8, 9, 3.0))])])
expect(one=dict(image=volume, affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3]),
                labels={"liver": box(volume.shape, 4, 9, 3, 7, [1, 2]), "spleen": box(volume.shape, 11, 13, 2, 4, [1]),
                        "node": box(volume.shape, 1, 2, 8, 9, [1])}))
