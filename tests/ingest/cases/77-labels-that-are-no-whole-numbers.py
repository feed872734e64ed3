import nibabel as nib
from kit import *

# The Colin27 atlas of 2008: classes 1, 2, 3 stored as 8-bit numbers with a slope, so that they read
# 0.9882, 2.0235, 3.0118.
fresh()
(DATA / "images").mkdir(), (DATA / "labels").mkdir()
affine = np.diag([2.0, 2.0, 3.0, 1.0])
for k in range(4):
    voxels = np.stack([texture(n, low=0) for n in range(8)], -1).transpose(1, 0, 2).astype(np.int16) + k
    nib.save(nib.Nifti1Image(voxels, affine), DATA / "images" / f"c{k}.nii.gz")
    mask = np.zeros(voxels.shape, np.uint8)
    for label, stored in ((1, 21), (2, 43), (3, 64)):
        mask[4:10, 2 * label:2 * label + 2, 2:5] = stored
    label = nib.Nifti1Image(mask, affine)
    label.header.set_slope_inter(12 / 255, 0)
    nib.save(label, DATA / "labels" / f"c{k}.nii.gz")
