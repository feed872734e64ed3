from kit import *

# Head first, prone: rows run to the patient's right and columns to the front, from the opposite
# corner.
fresh()
iop, origin = (-1, 0, 0, 0, -1, 0), (14.0, 10.0)
made, volume = ct_series(DATA, range(0, 18, 3), iop=iop, origin=origin)
x, y = (lambda c: origin[0] - 2 * c), (lambda r: origin[1] - 2 * r)
contour = lambda z: square(x(3.5), x(9.5), y(2.5), y(7.5), z)
rtstruct(DATA / "rs.dcm", made, [(1, "liver", [("CLOSED_PLANAR", contour(3.0 * k)) for k in (1, 2, 3)])])
expect(one=dict(image=volume, affine=lps_affine((14, 10, 0), (2, 2), iop, step=[0, 0, 3]), labels={"liver": box(volume.shape, 4, 9, 3, 7, [1, 2, 3])}))
