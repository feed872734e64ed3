from kit import *

# A Decathlon folder that macOS packed: beside each file a "._" file of 4 KB. Also .DS_Store.
import nibabel as nib
fresh()
(DATA / "imagesTr").mkdir(); (DATA / "labelsTr").mkdir()
rng = np.random.default_rng(3)
for k in range(4):
    A = np.diag([2.0, 2, 3, 1])
    nib.save(nib.Nifti1Image((rng.normal(0, 20, (12, 12, 8)) + 40).astype(np.int16), A), DATA / "imagesTr" / f"spleen_{k}.nii.gz")
    L = np.zeros((12, 12, 8), np.uint8); L[3:9, 3:9, 2:6] = 1
    nib.save(nib.Nifti1Image(L, A), DATA / "labelsTr" / f"spleen_{k}.nii.gz")
    for d in ("imagesTr", "labelsTr"):
        (DATA / d / f"._spleen_{k}.nii.gz").write_bytes(b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        " + b"\0" * 200)
(DATA / "imagesTr" / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
