"""What pydicom reads of its own test files, for crates/pdl-dicom/tests/pydicom.rs.

    python tests/golden/scripts/pydicom_files.py     (packages: requirements-dicom.txt)

For every file: shape, hash and sum of the float32 pixels after rescaling (frame, row, column), or that it has none.
"""

import json
import pathlib

import blake3
import numpy
import pydicom
import pydicom.data
from pydicom.pixels import apply_modality_lut

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "data" / "pydicom_files.json"
FILES = pathlib.Path(pydicom.data.__file__).resolve().parent


def read(path):
    try:
        # Files without preamble or meta group are read, too, as long as they are DICOM by their
        # name.
        data = pydicom.dcmread(path, force=path.suffix == ".dcm")
    except Exception as error:
        return {"error": type(error).__name__}
    if "PixelData" not in data:
        return {"error": "no pixels"}
    try:
        pixels = numpy.asarray(apply_modality_lut(data.pixel_array, data), numpy.float32)
    except Exception as error:
        return {"error": type(error).__name__}
    place = lambda name: [float(v) for v in data.get(name) or []]
    return {
        "shape": list(pixels.shape),
        "sum": float(pixels.astype(float).sum()),
        "blake3": blake3.blake3(pixels.tobytes()).hexdigest(),
        "position": place("ImagePositionPatient"),
        "orientation": place("ImageOrientationPatient"),
        "spacing": place("PixelSpacing"),
    }


paths = sorted(p for p in FILES.rglob("*") if p.is_file() and p.suffix not in {".py", ".pyc"})
files = {str(path.relative_to(FILES)): read(path) for path in paths}
GOLDEN.write_text(json.dumps({"versions": {"pydicom": pydicom.__version__}, "files": files}, indent=1) + "\n")
print(f"wrote tests/golden/data/pydicom_files.json: {len(files)} files, {sum('sum' in f for f in files.values())} with pixels")
