from kit import *

# INTERPOLATED_PLANAR, POINT, OPEN_PLANAR, CLOSEDPLANAR_XOR and a type in lower case.
fresh()
made, volume = ct_series(DATA, [0, 3, 6, 9])
rtstruct(DATA / "rs.dcm", made, [(1, "interpolated", [("INTERPOLATED_PLANAR", px_square(2, 4, 2, 4, 3.0))]),
    (2, "iso", [("POINT", [[0, 0, 3]])]), (3, "open", [("OPEN_PLANAR", px_square(6, 8, 2, 4, 3.0))]),
    (4, "xor", [("CLOSEDPLANAR_XOR", px_square(5, 11, 6, 10, 6.0)), ("CLOSEDPLANAR_XOR", px_square(7, 9, 7, 9, 6.0))])])
x = box(volume.shape, 5, 11, 6, 10, [2]); x[2, 7:10, 7:10] = False
expect(one=dict(image=volume, affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3]),
                labels={"interpolated": box(volume.shape, 2, 4, 2, 4, [1]), "xor": x}))
