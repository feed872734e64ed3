import gzip
from kit import *

# NRRD voxels behind bytes that are skipped: by their number, from the end of the file (-1), by
# lines; raw and gzip, where bytes are skipped in what was inflated.
fresh()
(DATA / "images").mkdir(), (DATA / "labels").mkdir()
for k, (skip, encoding, before) in enumerate([("byte skip: 7", "raw", b"7 bytes"), ("byte skip: -1", "raw", b"any header"), ("line skip: 2", "raw", b"one\ntwo\n"), ("byte skip: 7", "gzip", b"7 bytes"), ("byte skip: -1", "gzip", b"longer than that")]):
    voxels = np.stack([texture(n, low=0) for n in range(8)]).astype("<i2") + k
    mask = box(voxels.shape, 4, 9, 3, 7, [2, 3, 4])
    for d, v, kind in (("images", voxels, "short"), ("labels", mask.astype(np.uint8), "uchar")):
        data = before + v.tobytes()
        (DATA / d / f"c{k}.raw").write_bytes(gzip.compress(data) if encoding == "gzip" else data)
        (DATA / d / f"c{k}.nhdr").write_text(f"NRRD0004\ntype: {kind}\ndimension: 3\nspace: left-posterior-superior\nsizes: 16 12 8\nspace directions: (2,0,0) (0,2,0) (0,0,3)\nendian: little\nencoding: {encoding}\nspace origin: (0,0,0)\n{skip}\ndata file: c{k}.raw\n\n")
