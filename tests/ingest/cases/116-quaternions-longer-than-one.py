from kit import *
import nibabel as nib

# Quaternions that rounding, or a writer, made a little longer than 1 (read), and one of length 1.4
# (refused); there is no sform.
fresh()
(DATA / "images").mkdir(), (DATA / "labels").mkdir()
A = lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3])
voxels = np.stack([texture(n, low=0) for n in range(8)])
mask = box(voxels.shape, 4, 9, 3, 7, [2, 3, 4])
def nifti(array, quaternion):
    image = nib.Nifti1Image(np.ascontiguousarray(array.transpose(2, 1, 0)), A)
    image.set_sform(None, 0), image.set_qform(A, 1)
    header = image.header.structarr
    header["quatern_b"], header["quatern_c"], header["quatern_d"] = quaternion
    return header.tobytes() + b"\0" * 4 + image.dataobj.tobytes(order="F")
for number, (name, quaternion) in enumerate((("rounded", (0, 0, 1.0000002)), ("longer", (0, 0, 1.004)), ("long", (1, 0, 1)))):
    (DATA / "images" / f"{name}.nii").write_bytes(nifti((voxels + number).astype(np.int16), quaternion))
    (DATA / "labels" / f"{name}.nii").write_bytes(nifti(mask.astype(np.uint8), quaternion))
expect(rounded=dict(image=voxels, affine=A, labels={"1": mask}), longer=dict(image=voxels + 1, affine=A, labels={"1": mask}))
