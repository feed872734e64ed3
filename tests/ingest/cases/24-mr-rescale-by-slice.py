from kit import *

# Philips MR: each slice has a RescaleSlope of its own, for precision (stored values are stretched
# slice by slice). The object's real values are slope * stored + intercept: without it neighbouring
# slices differ by a factor of 1 to 4.
fresh()
made, volume = [], []
for n in range(6):
    real = texture(n) + 1300.0
    slope = [0.25, 1.0, 0.5, 0.25, 1.0, 0.5][n]
    px = np.round(real / slope).astype(np.uint16)
    ds = slice_(n, 3.0 * n, px, cls=MR, modality="MR", slope=slope, intercept=0)
    ds.RescaleType = "normalized"; ds.Manufacturer = "Philips"
    write(ds, DATA / f"im{n}.dcm"); made.append(ds); volume.append(px * slope)
rtstruct(DATA / "rs.dcm", made, [(1, "liver", [("CLOSED_PLANAR", px_square(4, 9, 3, 7, 3.0 * k)) for k in (1, 2, 3)])])
expect(one=dict(image=volume, affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3]), labels={"liver": box((6, 12, 16), 4, 9, 3, 7, [1, 2, 3])}))
