import nibabel as nib
from kit import *

# An sform with shear, as affine registration writes it into headers.
fresh()
(DATA / "images").mkdir(), (DATA / "labels").mkdir()
voxels = np.stack([texture(n) for n in range(8)]).astype(np.int16)
mask = box(voxels.shape, 4, 9, 3, 7, [2, 3, 4])
affine = lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3])
affine[0, 1] = 0.4
for d, v in (("images", voxels), ("labels", mask.astype(np.uint8))):
    stored = nib.Nifti1Image(v.transpose(2, 1, 0), affine)
    stored.set_sform(affine, 1)
    stored.header["qform_code"] = 0
    nib.save(stored, DATA / d / "a.nii.gz")
expect(a=dict(image=voxels, affine=affine, labels={"1": mask}))
