import struct, zlib
from kit import *

# PNG slices that are numbered from 0, and those of the label map from 1.
fresh()
def png(path, pixels):
    """Grey pixels of 8 bits."""
    def chunk(kind, data): return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows, columns = pixels.shape
    lines = b"".join(b"\0" + row.tobytes() for row in pixels)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b""))
voxels = np.stack([texture(n, low=0) % 251 for n in range(8)]).astype(np.uint8)
mask = box(voxels.shape, 4, 9, 3, 7, [2, 3, 4])
for n in range(8):
    png(DATA / "images" / "a" / f"slice{n}.png", voxels[n])
    png(DATA / "labels" / "a" / f"slice{n + 1}.png", mask[n].astype(np.uint8))
centre = np.array([15 * 2, 11 * 2, 7 * 3]) / 2
expect(a=dict(image=voxels, affine=lps_affine(-centre, (2, 2), step=[0, 0, 3]), labels={"1": mask}))
