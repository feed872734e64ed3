from kit import *

# NRRD as pynrrd writes it from `spacings`: no space, no directions, no origin. Where the patient's
# left is nobody knows.
import nrrd
fresh()
(DATA / "images").mkdir(), (DATA / "labels").mkdir()
for k in range(4):
    voxels = (np.stack([texture(n, low=0) for n in range(8)]).T + k).astype(np.int16)
    for d, v in (("images", voxels), ("labels", np.pad(np.ones((6, 5, 4), np.uint8), ((5, 5), (4, 3), (2, 2))))):
        nrrd.write(str(DATA / d / f"c{k}.nrrd"), v, {"type": "int16" if d == "images" else "uint8", "dimension": 3, "encoding": "gzip", "spacings": [1.0, 1.0, 0.625]})
