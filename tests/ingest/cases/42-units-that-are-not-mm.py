from kit import *

# (a) NIfTI whose xyzt_units say micron while the numbers are mm (a tool's mistake) beside proper
# ones; (b) NRRD with space units "microns".
import nibabel as nib
fresh()
(DATA / "images").mkdir(); (DATA / "labels").mkdir()
rng = np.random.default_rng(3)
for k in range(5):
    A = np.diag([2.0, 2, 3, 1])
    for d, v in (("images", (rng.normal(0, 20, (12, 12, 8)) + 40).astype(np.int16)), ("labels", np.pad(np.ones((6, 6, 4), np.uint8), ((3, 3), (3, 3), (2, 2))))):
        if k == 4:
            import nrrd
            nrrd.write(str(DATA / d / f"c{k}.nrrd"), v, {"space": "right-anterior-superior", "space directions": [[2000, 0, 0], [0, 2000, 0], [0, 0, 3000]], "space origin": [0, 0, 0], "space units": ["microns"] * 3, "kinds": ["domain"] * 3})
            continue
        im = nib.Nifti1Image(v, A)
        im.header.set_xyzt_units("micron" if k == 3 else "mm")
        nib.save(im, DATA / d / f"c{k}.nii.gz")
