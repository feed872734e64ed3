"""What nibabel reads of its own test files, for tests/nibabel.rs.

    python tests/golden/scripts/nibabel_files.py     (packages: requirements-dicom.txt)

For every file of its wheel below a folder `data`: shape, affine (row by row), and hash of the float32 voxels (x fastest)
of what nibabel takes for an image; else the name of its error. Files of DICOM are pydicom's matter.
"""

import json
import pathlib
import warnings

import blake3
import nibabel
import numpy

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "data" / "nibabel_files.json"
FILES = pathlib.Path(nibabel.__file__).resolve().parent
warnings.simplefilter("ignore")


def read(path):
    try:
        image = nibabel.load(path)
        voxels = numpy.asarray(image.dataobj).astype(numpy.float32)
        affine = numpy.asarray(image.affine, float)
    except Exception as error:
        return {"error": type(error).__name__}
    return {
        "class": type(image).__name__,
        "shape": list(voxels.shape),
        "affine": affine.ravel().tolist(),
        "blake3": blake3.blake3(voxels.tobytes(order="F")).hexdigest(),
    }


paths = sorted(p for p in FILES.rglob("data/*") if p.is_file() and p.suffix not in {".py", ".pyc"})
files = {str(path.relative_to(FILES)): read(path) for path in paths}
GOLDEN.write_text(json.dumps({"versions": {"nibabel": nibabel.__version__}, "files": files}, indent=1) + "\n")
print(f"wrote tests/golden/data/nibabel_files.json: {len(files)} files, {sum('shape' in f for f in files.values())} images")
