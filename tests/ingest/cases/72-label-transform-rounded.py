import nibabel as nib
from kit import *

# The label maps' transforms differ from the images' in the fourth decimal, as after a passage
# through float32 and another library.
fresh()
(DATA / "images").mkdir(), (DATA / "labels").mkdir()
affine = np.array([[-1.5, 0, 0, 120.123456], [0, -1.5, 0, 98.654321], [0, 0, 1.5, -301.111111], [0, 0, 0, 1]])
want = {}
for k in range(3):
    voxels = np.stack([texture(n, low=0) for n in range(8)], -1).transpose(1, 0, 2).astype(np.int16) + k
    nib.save(nib.Nifti1Image(voxels, affine), DATA / "images" / f"c{k}.nii.gz")
    mask = np.zeros(voxels.shape, np.uint8)
    mask[4:10, 3:8, 2:5] = 1
    nib.save(nib.Nifti1Image(mask, affine + np.array([[1e-5, 1e-6, 0, 4e-4]] * 3 + [[0] * 4])), DATA / "labels" / f"c{k}.nii.gz")
    want[f"c{k}"] = dict(image=voxels.transpose(2, 1, 0), affine=affine, labels={"1": mask.transpose(2, 1, 0)})
expect(**want)
