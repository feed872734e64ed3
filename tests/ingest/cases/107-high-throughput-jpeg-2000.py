from pydicom.encaps import encapsulate
from kit import *

# HTJ2K, lossless: 100, 900, 2000, 4000, 50 and 1234 by OpenJPH.
fresh()
STREAM = bytes.fromhex(
    "ff4fff5100294000000000030000000200000000000000000000000300000002000000000000000000010f0101ff50000800020000000aff52000c00020001000504044001ff"
    "5c00132088909090909090909090909090888888ff64001700014f70656e4a50482056657220302e32362e332eff90000a00000000003f0001ff93c00026f9f6050774000000"
    "00c00012806102077400c0002680004f0000989bfa0307740006b5f603817400e1f203877400ffd9"
)
pixels = np.array([[100, 900, 2000], [4000, 50, 1234]], np.uint16)
made = []
for n in range(4):
    ds = slice_(n, 3.0 * n, pixels, origin=(0.0, 0.0))
    ds.PixelData = encapsulate([STREAM])
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    write(ds, DATA / f"im{n}.dcm", UID("1.2.840.10008.1.2.4.201"))
    made.append(ds)
rtstruct(DATA / "rs.dcm", made, [(1, "liver", [("CLOSED_PLANAR", px_square(1, 2, 0, 0, z, origin=(0, 0))) for z in (3.0, 6.0)])])
volume = np.array([hu(pixels)] * 4)
expect(one=dict(image=volume, affine=lps_affine((0, 0, 0), (2, 2), step=[0, 0, 3]), labels={"liver": box(volume.shape, 1, 2, 0, 0, [1, 2])}))
