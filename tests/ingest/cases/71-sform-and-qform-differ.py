import nibabel as nib
from kit import *

# A registration changed the image's sform and left its qform; the label map was written with the
# new transform in both.
fresh()
(DATA / "images").mkdir(), (DATA / "labels").mkdir()
old = np.diag([2.0, 2.0, 3.0, 1.0])
new = old.copy()
new[:3, 3] = [10, -5, 3]
want = {}
for k in range(3):
    voxels = np.stack([texture(n, low=0) for n in range(8)], -1).transpose(1, 0, 2).astype(np.int16) + k
    image = nib.Nifti1Image(voxels, new)
    image.set_qform(old, 1)
    image.set_sform(new, 2)
    nib.save(image, DATA / "images" / f"c{k}.nii.gz")
    mask = np.zeros(voxels.shape, np.uint8)
    mask[4:10, 3:8, 2:5] = 1
    label = nib.Nifti1Image(mask, new)
    label.set_qform(new, 2)
    nib.save(label, DATA / "labels" / f"c{k}.nii.gz")
    want[f"c{k}"] = dict(image=voxels.transpose(2, 1, 0), affine=new, labels={"1": mask.transpose(2, 1, 0)})
expect(**want)
