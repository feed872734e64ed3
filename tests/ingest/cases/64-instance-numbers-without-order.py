from kit import *

# File names and InstanceNumber follow neither each other nor the positions.
fresh()
order = [3, 0, 5, 1, 4, 2]
made, volume = [], np.zeros((6, 12, 16))
for n, k in enumerate(order):
    px = (texture(k) + 1224).astype(np.uint16)
    ds = slice_(n, 3.0 * k, px)
    ds.InstanceNumber = order[::-1][n] + 1
    write(ds, DATA / f"im{(5 * n + 2) % 6}.dcm")
    made.append(ds)
    volume[k] = hu(px)
rtstruct(DATA / "rs.dcm", made, [(1, "liver", [("CLOSED_PLANAR", px_square(4, 9, 3, 7, 3.0 * k)) for k in (1, 2, 3)])])
expect(one=dict(image=volume, affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3]), labels={"liver": box(volume.shape, 4, 9, 3, 7, [1, 2, 3])}))
