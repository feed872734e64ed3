from kit import *

# A displacement field (kinds: vector domain domain domain) lies among the images: three numbers a
# voxel are no intensity.
import nrrd
fresh()
(DATA / "images").mkdir(), (DATA / "labels").mkdir()
for k in range(4):
    voxels = np.stack([texture(n, low=0) for n in range(8)]).astype(np.int16) + k
    mask = box(voxels.shape, 4, 9, 3, 7, [2, 3, 4])
    head = {"space": "left-posterior-superior", "space directions": [[2, 0, 0], [0, 2, 0], [0, 0, 3]], "space origin": [0, 0, 0], "kinds": ["domain"] * 3}
    nrrd.write(str(DATA / "labels" / f"c{k}.nrrd"), mask.T.astype(np.uint8), head)
    if k == 3:
        field = np.stack([voxels.T, voxels.T, voxels.T]).astype(np.float32)
        nrrd.write(str(DATA / "images" / f"c{k}.nrrd"), field, {**head, "space directions": [[np.nan] * 3, [2, 0, 0], [0, 2, 0], [0, 0, 3]], "kinds": ["vector"] + ["domain"] * 3})
        continue
    nrrd.write(str(DATA / "images" / f"c{k}.nrrd"), voxels.T, head)
