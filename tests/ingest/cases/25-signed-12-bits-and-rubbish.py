from kit import *

# BitsStored 12, HighBit 11, signed; the four bits above hold rubbish (an old overlay), as the
# standard allows.
fresh()
made, volume = [], []
rng = np.random.default_rng(1)
for n in range(4):
    v = (texture(n) - 300 + 1000).astype(np.int16)      # -300 .. about 50
    raw = (v.astype(np.uint16) & 0x0fff) | (rng.integers(0, 16, v.shape).astype(np.uint16) << 12)
    ds = slice_(n, 3.0 * n, v, slope=1, intercept=-100)
    ds.BitsStored, ds.HighBit = 12, 11
    ds.PixelData = raw.astype("<u2").tobytes()
    write(ds, DATA / f"im{n}.dcm"); made.append(ds); volume.append(hu(v, 1, -100))
rtstruct(DATA / "rs.dcm", made, [(1, "liver", [("CLOSED_PLANAR", px_square(4, 9, 3, 7, 3.0 * k)) for k in (1, 2)])])
expect(one=dict(image=volume, affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3]), labels={"liver": box((4, 12, 16), 4, 9, 3, 7, [1, 2])}))
