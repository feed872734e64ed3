from kit import *

# 12 bits are stored, and some pixels have bits above them: by the standard those are ignored, and
# nothing but a word can tell that the header may be wrong. Sign that is spread over the upper bits,
# and an overlay in them, are no such bits.
fresh()
zs = [0, 3, 6, 9, 12]
A = lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3])
def twelve(ds):
    ds.BitsStored, ds.HighBit = 12, 11
high = lambda n: (texture(n) + (5200 if n == 2 else 1224)).astype(np.uint16)
_, volume = ct_series(DATA / "high", zs, stored=high, edit=lambda n, ds: twelve(ds), patient="P1", study=1)
volume[2] = (high(2) & 0xfff) - 1024.0
signed = lambda n: (texture(n) + 40).astype(np.int16)
_, spread = ct_series(DATA / "spread", zs, stored=signed, edit=lambda n, ds: twelve(ds), intercept=0, patient="P2", study=2)
def overlay(n, ds):
    twelve(ds)
    pixels = np.frombuffer(ds.PixelData, "<u2").copy()
    pixels[::3] |= 0x8000
    ds.PixelData = pixels.tobytes()
    for element, vr, value in ((0x10, "US", 12), (0x11, "US", 16), (0x40, "CS", "G"), (0x50, "SS", [1, 1]), (0x100, "US", 16), (0x102, "US", 15)):
        ds.add_new((0x6000, element), vr, value)
_, plain = ct_series(DATA / "overlay", zs, stored=lambda n: (texture(n) + 1230).astype(np.uint16), edit=overlay, patient="P3", study=3)
expect(high=dict(image=volume, affine=A), spread=dict(image=spread, affine=A), overlay=dict(image=plain, affine=A))
