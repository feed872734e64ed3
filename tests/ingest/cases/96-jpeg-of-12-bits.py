from pydicom.encaps import encapsulate
from kit import *

# JPEG Extended (process 4) of 12 bits: 100, 900, 2000, 4000, 50 and 1234 by `dcmcjpeg +ee +q 90`.
# What is right is what dcmdjpeg gives.
fresh()
STREAM = bytes.fromhex(
    "ffd8ffe000104a46494600010100000100010000ffdb0043000302020302020303030304030304050805050404050a070706080c0a0c0c0b0a0b0b0d0e12100d0e110e0b0b"
    "1016101113141515150c0f171816141812141514ffc1000b0c0002000301011100ffc4001400010000000000000000000000000000000bffc4001d10000007010101000000"
    "00000000000000030405060708090a020bffda0008010100003f0014fece2c34a9ceb7d153bc3ca1ca4931e198f96d443a9fda2ab552e90d385e35134275e21e64687cfed9"
    "63c72c064b784268ad56ab7901292d1d290924a15209a9e9c50a14000000083f3fffd9"
)
DECODED = np.array([[48, 850, 1952], [3949, 5, 1180]], np.uint16)
made = []
for n in range(4):
    ds = slice_(n, 3.0 * n, DECODED, origin=(0.0, 0.0))
    ds.BitsStored, ds.HighBit = 12, 11
    ds.PixelData = encapsulate([STREAM])
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    write(ds, DATA / f"im{n}.dcm", UID("1.2.840.10008.1.2.4.51"))
    made.append(ds)
rtstruct(DATA / "rs.dcm", made, [(1, "liver", [("CLOSED_PLANAR", px_square(1, 2, 0, 0, z, origin=(0, 0))) for z in (3.0, 6.0)])])
volume = np.array([hu(DECODED)] * 4)
expect(one=dict(image=volume, affine=lps_affine((0, 0, 0), (2, 2), step=[0, 0, 3]), labels={"liver": box(volume.shape, 1, 2, 0, 0, [1, 2])}))
