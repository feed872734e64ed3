import nibabel as nib
from kit import *

# The magic number of a pair in a single file (its voxels follow the header: read), and that of a
# single file in a pair (refused).
fresh()
(DATA / "images").mkdir(), (DATA / "labels").mkdir()
voxels = np.stack([texture(n) for n in range(8)]).astype(np.int16)
mask = box(voxels.shape, 4, 9, 3, 7, [2, 3, 4])
affine = lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3])
for d, v in (("images", voxels), ("labels", mask.astype(np.uint8))):
    stored = nib.Nifti1Image(v.transpose(2, 1, 0), affine)
    for name in ("single", "pair"):
        nib.save(stored, DATA / d / f"{name}.nii")
single, pair = (DATA / "images" / f"{name}.nii" for name in ("single", "pair"))
whole = single.read_bytes()
single.write_bytes(whole[:344] + b"ni1\0" + whole[348:])
pair.with_suffix(".hdr").write_bytes(whole[:348])
pair.with_suffix(".img").write_bytes(whole[352:])
pair.unlink()
expect(single=dict(image=voxels, affine=affine, labels={"1": mask}))
