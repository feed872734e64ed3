"""Small volumes in many formats, written by SimpleITK and nibabel, and what those read from them: formats/*, formats.json.

    python -m pip install --requirement tests/golden/scripts/requirements-dicom.txt && python tests/golden/scripts/formats.py

Affines are in RAS+ millimetres; voxels are listed with x fastest.
"""

import gzip
import json
from pathlib import Path

import nibabel
import numpy
import SimpleITK

DATA = Path(__file__).resolve().parents[1] / "data"
FILES = DATA / "formats"
SHAPE = (3, 4, 5)
# Oblique, left-handed, no two sides alike.
TURN = numpy.array([[0.6, 0.8, 0.0], [-0.8, 0.6, 0.0], [0.0, 0.0, -1.0]])
SIDES = numpy.array([0.7, 1.1, 2.5])
ORIGIN = numpy.array([-12.5, 30.25, 7.0])


def values(kind):
    return numpy.arange(60).reshape(SHAPE, order="F").astype(kind) * 3 - (0 if kind.startswith("u") else 17)


def affine():
    matrix = numpy.eye(4)
    matrix[:3, :3], matrix[:3, 3] = TURN * SIDES, ORIGIN
    return matrix


def by_itk(name, kind, **options):
    image = SimpleITK.GetImageFromArray(values(kind).transpose(2, 1, 0))
    flip = numpy.diag([-1.0, -1.0, 1.0])
    image.SetDirection((flip @ TURN).ravel().tolist())
    image.SetOrigin((flip @ ORIGIN).tolist())
    image.SetSpacing(SIDES.tolist())
    SimpleITK.WriteImage(image, str(FILES / name), **options)


def by_nibabel(name, kind, make, order="<", sform=True, qform=False, slope=None):
    data = values(kind)
    header = make.header_class(endianness=order)
    header.set_data_dtype(numpy.dtype(kind).newbyteorder(order))
    image = make(data, affine(), header)
    image.set_sform(affine(), 1 if sform else 0)
    image.set_qform(affine(), 1 if qform else 0)
    if slope:
        image.header.set_slope_inter(*slope)
    nibabel.save(image, FILES / name)


def read(name):
    if name.endswith((".nrrd", ".nhdr", ".mha", ".mhd")):
        image = SimpleITK.ReadImage(str(FILES / name))
        flip = numpy.diag([-1.0, -1.0, 1.0])
        matrix = numpy.eye(4)
        matrix[:3, :3] = flip @ numpy.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
        matrix[:3, 3] = flip @ image.GetOrigin()
        voxels = SimpleITK.GetArrayFromImage(image).transpose(2, 1, 0)
    else:
        image = nibabel.load(FILES / name)
        matrix, voxels = image.affine, image.get_fdata()
    return {
        "shape": list(voxels.shape),
        "affine": matrix.ravel().tolist(),
        "voxels": voxels.astype(float).ravel(order="F").tolist(),
    }


def main():
    FILES.mkdir(exist_ok=True)
    by_itk("raw.nrrd", "int16", useCompression=False)
    by_itk("gzip.nrrd", "float32", useCompression=True)
    by_itk("apart-nrrd.nhdr", "uint16", useCompression=False)
    by_itk("raw.mha", "uint8", useCompression=False)
    by_itk("zlib.mha", "int16", useCompression=True)
    by_itk("apart-meta.mhd", "float64", useCompression=False)
    # Without directions, but with its place.
    lines = (FILES / "raw.mha").read_bytes().splitlines(keepends=True)
    (FILES / "no-directions.mha").write_bytes(b"".join(l for l in lines if not l.startswith(b"TransformMatrix")))
    by_nibabel("one.nii", "int16", nibabel.Nifti1Image)
    by_nibabel("big-endian.nii", "float32", nibabel.Nifti1Image, order=">")
    by_nibabel("qform-only.nii", "int32", nibabel.Nifti1Image, sform=False, qform=True)
    by_nibabel("pair.hdr", "int16", nibabel.Nifti1Pair)
    by_nibabel("two.nii", "float64", nibabel.Nifti2Image)
    by_nibabel("two-big-endian.nii.gz", "int16", nibabel.Nifti2Image, order=">", sform=False, qform=True)
    scaled = nibabel.Nifti1Image(values("int16"), affine())
    scaled.header.set_slope_inter(0.5, -3.25)
    # nibabel divides by the slope when it writes, so the stored integers are patched in as they
    # are.
    raw = scaled.header.copy()
    raw["magic"], raw["vox_offset"] = b"n+1", 352
    raw.set_sform(affine(), 1)
    with open(FILES / "scaled.nii", "wb") as to:
        raw.write_to(to)
        to.write(b"\0" * 4 + values("int16").tobytes(order="F"))
    for path in FILES.glob("*.gz"):  # the same bytes on every day
        path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), mtime=0))
    names = sorted(path.name for path in FILES.iterdir() if path.suffix not in {".raw", ".img", ".json"})
    found = {name: read(name) for name in names}
    versions = {"SimpleITK": SimpleITK.Version_VersionString(), "nibabel": nibabel.__version__, "numpy": numpy.__version__}
    text = json.dumps({"versions": versions, "files": found})
    (DATA / "formats.json").write_text(text.replace('}, "', '},\n"') + "\n")


if __name__ == "__main__":
    main()
