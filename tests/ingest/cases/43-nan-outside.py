from kit import *

# MR volumes whose background is NaN (skull-stripped in a template).
import nibabel as nib
fresh()
(DATA / "images").mkdir(); (DATA / "labels").mkdir()
rng = np.random.default_rng(3)
for k in range(4):
    A = np.diag([2.0, 2, 3, 1]); v = (rng.normal(0, 20, (12, 12, 8)) + 400).astype(np.float32)
    if k < 3: v[:2] = np.nan; v[-1] = np.nan
    nib.save(nib.Nifti1Image(v, A), DATA / "images" / f"c{k}.nii.gz")
    nib.save(nib.Nifti1Image(np.pad(np.ones((6, 6, 4), np.uint8), ((3, 3), (3, 3), (2, 2))), A), DATA / "labels" / f"c{k}.nii.gz")
