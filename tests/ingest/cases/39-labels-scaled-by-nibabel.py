from kit import *

# Label maps that nibabel scaled by itself when floats were saved into an integer type: stored
# 0..255 with a slope such as n/255, n = 1..40; and int16.
import nibabel as nib
fresh()
(DATA / "images").mkdir(); (DATA / "labels").mkdir()
rng = np.random.default_rng(3)
for k, (n, dt) in enumerate([(1, np.uint8), (2, np.uint8), (3, np.uint8), (5, np.uint8), (7, np.uint8), (11, np.uint8), (13, np.uint8), (24, np.uint8), (40, np.uint8), (4, np.int16), (12, np.int16), (104, np.int16)]):
    A = np.diag([2.0, 2, 3, 1])
    nib.save(nib.Nifti1Image((rng.normal(0, 20, (12, 12, 8)) + 40).astype(np.int16), A), DATA / "images" / f"n{n:03d}{np.dtype(dt).name}.nii.gz")
    L = np.zeros((12, 12, 8)); L.reshape(-1)[:n + 1] = np.arange(n + 1); L[:, :, 4] = np.arange(144).reshape(12, 12) % (n + 1)
    im = nib.Nifti1Image(L, A); im.set_data_dtype(dt)
    nib.save(im, DATA / "labels" / f"n{n:03d}{np.dtype(dt).name}.nii.gz")
    got = nib.load(DATA / "labels" / f"n{n:03d}{np.dtype(dt).name}.nii.gz")
    print(n, np.dtype(dt).name, got.dataobj.slope, got.dataobj.inter, "largest error of nibabel's own reading:", np.abs(got.get_fdata() - L).max())
