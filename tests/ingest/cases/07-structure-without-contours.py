from kit import *

# Of four structures one has no ContourSequence, one is missing from ROIContourSequence altogether.
fresh()
made, volume = ct_series(DATA, [0, 3, 6, 9])
ok = lambda z: ("CLOSED_PLANAR", px_square(4, 9, 3, 7, z))
rtstruct(DATA / "rs.dcm", made, [(1, "empty", None), (2, "gone", "no item"), (3, "liver", [ok(3), ok(6)])])
expect(one=dict(image=volume, affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3]),
                labels={"liver": box(volume.shape, 4, 9, 3, 7, [1, 2])}))
