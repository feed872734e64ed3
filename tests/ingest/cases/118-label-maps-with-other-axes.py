from kit import *
import nibabel as nib

# Label maps that have the voxels of their images in another order: flipped, and with other axes.
# With --resample-labels each voxel is put in its place; without it such a case is refused, and told
# so.
fresh()
(DATA / "images").mkdir(), (DATA / "labels").mkdir()
A = lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3])
voxels = np.stack([texture(n, low=0) for n in range(8)])
mask = box(voxels.shape, 4, 9, 3, 7, [2, 3, 4]) | box(voxels.shape, 1, 2, 1, 1, [5])
want = {}
for number, axes in enumerate(("RAI", "PIR", "SLA")):
    image = nib.Nifti1Image(np.ascontiguousarray((voxels + number).transpose(2, 1, 0)), A)
    label = nib.Nifti1Image(np.ascontiguousarray(mask.astype(np.uint8).transpose(2, 1, 0)), A)
    turn = nib.orientations.ornt_transform(nib.io_orientation(A), nib.orientations.axcodes2ornt(tuple(axes)))
    nib.save(image, DATA / "images" / f"{axes}.nii"), nib.save(label.as_reoriented(turn), DATA / "labels" / f"{axes}.nii")
    want[axes] = dict(image=voxels + number, affine=A, labels={"1": mask})
expect(**want)
