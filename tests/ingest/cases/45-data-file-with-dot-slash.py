from kit import *

# Detached headers that name their voxels "./name.raw" (unu of older Teem; hand-written MHD), and
# one in a sub-folder.
fresh()
(DATA / "images").mkdir(); (DATA / "labels").mkdir()
rng = np.random.default_rng(3)
for k, (ext, name) in enumerate([("nhdr", "./c0.raw"), ("mhd", "./c1.raw"), ("nhdr", "c2.raw"), ("mhd", "c3.raw")]):
    for d, v, nt, mt in (("images", (rng.normal(0, 20, (8, 12, 12)) + 40).astype("<i2"), "short", "MET_SHORT"), ("labels", np.pad(np.ones((4, 6, 6), np.uint8), ((2, 2), (3, 3), (3, 3))), "uchar", "MET_UCHAR")):
        (DATA / d / f"c{k}.raw").write_bytes(v.tobytes())
        if ext == "nhdr":
            (DATA / d / f"c{k}.nhdr").write_text(f"NRRD0004\ntype: {nt}\ndimension: 3\nspace: left-posterior-superior\nsizes: 12 12 8\nspace directions: (2,0,0) (0,2,0) (0,0,3)\nkinds: domain domain domain\nendian: little\nencoding: raw\nspace origin: (0,0,0)\ndata file: {name}\n\n")
        else:
            (DATA / d / f"c{k}.mhd").write_text(f"ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = False\nTransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\nElementSpacing = 2 2 3\nDimSize = 12 12 8\nElementType = {mt}\nElementDataFile = {name}\n")
