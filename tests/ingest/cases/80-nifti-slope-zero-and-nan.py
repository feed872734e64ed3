import nibabel as nib
from kit import *

# scl_slope 0 with an intercept, and NaN in both: nothing is scaled. Five axes of which the last two
# have one entry.
fresh()
(DATA / "images").mkdir(), (DATA / "labels").mkdir()
affine = np.diag([2.0, 2.0, 3.0, 1.0])
for k, (slope, intercept, axes) in enumerate([(0.0, 7.0, 3), (float("nan"), float("nan"), 3), (1.0, 0.0, 5), (2.0, -3.0, 4)]):
    voxels = np.stack([texture(n, low=0) for n in range(8)], -1).transpose(1, 0, 2).astype("<i2") + k
    mask = np.zeros(voxels.shape, np.uint8)
    mask[4:10, 3:8, 2:5] = 1
    for d, v in (("images", voxels), ("labels", mask)):
        header = nib.Nifti1Header()
        header.set_data_dtype(v.dtype), header.set_data_shape(v.shape + (1,) * (axes - 3))
        header.set_sform(affine, 1), header.set_qform(affine, 1)
        header["vox_offset"], header["magic"] = 352, b"n+1"
        header["scl_slope"], header["scl_inter"] = (slope, intercept) if d == "images" or slope != 2 else (1, 0)
        (DATA / d / f"c{k}.nii").write_bytes(header.binaryblock + b"\0" * 4 + v.tobytes("F"))
    real = voxels * 2.0 - 3.0 if slope == 2 else voxels
    assert np.array_equal(np.squeeze(nib.load(DATA / "images" / f"c{k}.nii").get_fdata()), real)
