from kit import *

# A vector of NaN where the axis has no place in space (read), the names of the voxels' files as a
# list, and two axes (refused).
fresh()
(DATA / "images").mkdir(), (DATA / "labels").mkdir()
NAN = "(nan,nan,nan) (2,0,0) (0,2,0) (0,0,3)"
def header(kind, sizes, directions, more=""):
    axes = sizes.split()
    kinds = " ".join(["list"] * (len(axes) - 3) + ["domain"] * min(len(axes), 3))
    return (f"NRRD0004\ntype: {kind}\ndimension: {len(axes)}\nspace: left-posterior-superior\nsizes: {sizes}\nspace directions: {directions}\n"
            f"kinds: {kinds}\nendian: little\nencoding: raw\nspace origin: (0,0,0)\n{more}")
voxels = np.stack([texture(n, low=0) for n in range(8)]).astype("<i2")
mask = box(voxels.shape, 4, 9, 3, 7, [2, 3, 4])
for d, v, kind in (("images", voxels, "short"), ("labels", mask.astype(np.uint8), "uchar")):
    (DATA / d / "nan.nrrd").write_bytes(header(kind, "1 16 12 8", NAN).encode() + b"\n" + v.tobytes())
    for n, plane in enumerate(v):
        (DATA / d / f"plane{n}.raw").write_bytes(plane.tobytes())
    names = "".join(f"plane{n}.raw\n" for n in range(8))
    (DATA / d / "list.nhdr").write_text(header(kind, "16 12 8", NAN.split(" ", 1)[1], f"data file: LIST\n{names}"))
    (DATA / d / "flat.nrrd").write_bytes(header(kind, "16 12", "(2,0) (0,2)").encode() + b"\n" + v[0].tobytes())
expect(nan=dict(image=voxels, affine=lps_affine((0, 0, 0), (2, 2), step=[0, 0, 3]), labels={"1": mask}))
