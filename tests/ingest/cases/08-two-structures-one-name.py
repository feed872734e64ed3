from kit import *

# Two lesions that bear the same name and different numbers; and GTV beside gtv.
fresh()
made, volume = ct_series(DATA, [0, 3, 6, 9])
rtstruct(DATA / "rs.dcm", made, [(1, "Lesion01", [("CLOSED_PLANAR", px_square(2, 4, 2, 4, 3.0))]),
                                 (2, "Lesion01", [("CLOSED_PLANAR", px_square(8, 11, 6, 9, 6.0))]),
                                 (3, "GTV", [("CLOSED_PLANAR", px_square(2, 4, 8, 9, 3.0))]),
                                 (4, "gtv", [("CLOSED_PLANAR", px_square(13, 14, 1, 2, 3.0))])])
expect(one=dict(image=volume, affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3]),
                labels={"Lesion01": box(volume.shape, 2, 4, 2, 4, [1]) | box(volume.shape, 8, 11, 6, 9, [2])}))
