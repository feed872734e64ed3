"""Golden values of made structure sets for crates/pdl-dicom/tests/contours: contours.json.

    apt install plastimatch                  (1.9.4)
    python -m pip install blake3==1.0.11 dcmrtstruct2nii==5 numpy==2.4.6 pydicom==3.0.2 simpleitk==2.5.7
    python tests/golden/scripts/contours.py

Random stars, rings, keyholes and separate pieces, on the slices and slightly off them, whose contours keep further than
0.05 pixels from every pixel's centre, so that the programs' rules for pixels on an edge do not matter. Masks are by exact
arithmetic (exact.py); it is asserted that the witnesses named beside each structure make the very same. plastimatch
joins the contours of a slice, and with --xor-contours combines them by XOR, as dcmrtstruct2nii does; pdl joins what
overlaps and combines by XOR what nests, so each structure has the witnesses whose rule is the same for it.
"""

import importlib.metadata
import json
import math
import pathlib
import random
import subprocess
import tempfile
from fractions import Fraction

import numpy
import pydicom
import SimpleITK
from pydicom.dataset import Dataset, FileMetaDataset

pydicom.read_file = pydicom.dcmread  # the name by which dcmrtstruct2nii 5 calls it
from dcmrtstruct2nii import dcmrtstruct2nii

from exact import counted, fill

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "data" / "contours.json"
COLUMNS, ROWS, SLICES = 40, 32, 6
ORIGIN, SPACING, STEP = ("-17.3", "8.45", "-40.5"), ("0.9", "1.1"), "3"  # columns, rows
XOR, JOIN, DCMRTSTRUCT = "plastimatch --xor-contours", "plastimatch", "dcmrtstruct2nii"
source = random.Random(28)


def pixels(point):
    return tuple((Fraction(v) - Fraction(o)) / Fraction(s) for v, o, s in zip(point, ORIGIN, SPACING))


def mm(column, row):
    place = [float(o) + p * float(s) for p, o, s in zip((column, row), ORIGIN, SPACING)]
    return [f"{v:.3f}" for v in place]


def is_clear(a, b):
    """Whether the edge keeps clear of all pixels' centres."""
    a, b = pixels(a), pixels(b)
    return not fill([[a, b, ((a[0] + b[0]) / 2, (a[1] + b[1]) / 2)]], COLUMNS, ROWS)[1]


def star(centre, largest):
    """A star-shaped contour, corner by corner, each edge of which keeps clear."""
    corners = source.randint(5, 14)
    while True:
        points = []
        for corner in range(corners):
            turn = 2 * math.pi * corner / corners
            for _ in range(30):
                radius = source.uniform(0.6, 1) * largest
                point = mm(centre[0] + radius * math.cos(turn), centre[1] + radius * math.sin(turn))
                if not points or is_clear(points[-1], point):
                    points.append(point)
                    break
        if len(points) == corners and is_clear(points[-1], points[0]):
            return points


def somewhere():
    return source.uniform(14, 26), source.uniform(12, 20)


def ring_and_hole(centre, largest):
    return [star(centre, largest), star(centre, 0.5 * largest)]


def keyhole():
    while True:
        outer, inner = ring_and_hole(somewhere(), 11)
        if is_clear(outer[0], inner[0]):
            return [outer + outer[:1] + inner[:1] + inner[:0:-1] + inner[:1]]


def pieces():
    return [star((8 + 12 * k, source.uniform(9, 22)), 5) for k in range(3)]


def overlapping():
    return [star((13, 15), 9), star((22, 16), 9)]


def doubled():
    contour = star(somewhere(), 10)
    return [contour, contour[2:] + contour[:2], contour[::-1]]


def one():
    return [star(somewhere(), 11)]


# What is drawn on a slice, how far off it, mm, and whose rule is the same for it.
KINDS = {
    "star": (one, "0", [JOIN, XOR, DCMRTSTRUCT]),
    "star above": (one, "0.134", [JOIN, XOR, DCMRTSTRUCT]),
    "star below": (one, "-0.9", [JOIN, XOR, DCMRTSTRUCT]),
    "ring": (lambda: ring_and_hole(somewhere(), 11), "0", [XOR, DCMRTSTRUCT]),
    "keyhole": (keyhole, "0", [JOIN, XOR, DCMRTSTRUCT]),
    "pieces": (pieces, "0", [JOIN, XOR, DCMRTSTRUCT]),
    "overlapping": (overlapping, "0", [JOIN]),
    "doubled": (doubled, "0", [JOIN]),
}


def structures():
    found = {}
    for kind, (make, off, witnesses) in KINDS.items():
        for number in range(2):
            first = source.randint(0, SLICES - 3)
            contours = []
            for z in range(first, first + 3):
                height = f"{float(ORIGIN[2]) + z * float(STEP) + float(off):.3f}"
                contours += [[[*point, height] for point in contour] for contour in make()]
            found[f"{kind} {number + 1}"] = (contours, witnesses)
    return found


def mask_of(contours, join):
    """By exact arithmetic: contours of a slice joined, or combined by XOR."""
    mask = numpy.zeros((SLICES, ROWS, COLUMNS), bool)
    for contour in contours:
        z = round((Fraction(contour[0][2]) - Fraction(ORIGIN[2])) / Fraction(STEP))
        one = numpy.zeros((ROWS, COLUMNS), bool)
        for row, column in fill([[pixels(p) for p in contour]], COLUMNS, ROWS)[0]:
            one[row, column] = True
        mask[z] = mask[z] | one if join else mask[z] ^ one
    return mask


def saved(data, path):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = data.SOPClassUID, data.SOPInstanceUID
    meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    data.file_meta = meta
    data.save_as(path, enforce_file_format=True)


def identified(cls, instance, series, modality):
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID, data.Modality = cls, instance, modality
    data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = "2.25.1", series, "2.25.2"
    data.PatientID = data.PatientName = "made"
    data.StudyDate, data.StudyTime, data.StudyID, data.SeriesNumber = "20000101", "120000", "1", 1
    return data


def write(folder, found):
    images, ct = folder / "ct", "1.2.840.10008.5.1.4.1.1.2"
    images.mkdir()
    for z in range(SLICES):
        data = identified(ct, f"2.25.3.{z + 1}", "2.25.3", "CT")
        data.ImagePositionPatient = [ORIGIN[0], ORIGIN[1], str(float(ORIGIN[2]) + z * float(STEP))]
        data.ImageOrientationPatient, data.PixelSpacing = [1, 0, 0, 0, 1, 0], [SPACING[1], SPACING[0]]
        data.SliceThickness, data.InstanceNumber, data.Rows, data.Columns = STEP, z + 1, ROWS, COLUMNS
        data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 1
        data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
        data.RescaleSlope, data.RescaleIntercept = 1, 0
        data.PixelData = numpy.full((ROWS, COLUMNS), z, "<i2").tobytes()
        saved(data, images / f"{z}.dcm")
    structure_set = identified("1.2.840.10008.5.1.4.1.1.481.3", "2.25.4.1", "2.25.4", "RTSTRUCT")

    series = item(SeriesInstanceUID="2.25.3", ContourImageSequence=[reference(z) for z in range(SLICES)])
    study = item(ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.1", ReferencedSOPInstanceUID="2.25.1", RTReferencedSeriesSequence=[series])
    frame = item(FrameOfReferenceUID="2.25.2", RTReferencedStudySequence=[study])
    structure_set.ReferencedFrameOfReferenceSequence = [frame]
    structure_set.StructureSetLabel, structure_set.StructureSetDate, structure_set.StructureSetTime = "made", "20000101", "120000"
    structure_set.StructureSetROISequence, structure_set.ROIContourSequence, structure_set.RTROIObservationsSequence = [], [], []
    for number, (name, (contours, _)) in enumerate(found.items(), 1):
        structure_set.StructureSetROISequence.append(item(ROINumber=number, ROIName=name, ReferencedFrameOfReferenceUID="2.25.2", ROIGenerationAlgorithm="MANUAL"))
        structure_set.RTROIObservationsSequence.append(item(ObservationNumber=number, ReferencedROINumber=number, RTROIInterpretedType="", ROIInterpreter=""))
        items = []
        for contour in contours:
            z = round((float(contour[0][2]) - float(ORIGIN[2])) / float(STEP))
            data = [v for point in contour for v in point]
            items.append(item(ContourImageSequence=[reference(z)], ContourGeometricType="CLOSED_PLANAR", NumberOfContourPoints=len(contour), ContourData=data))
        structure_set.ROIContourSequence.append(item(ReferencedROINumber=number, ContourSequence=items))
    saved(structure_set, folder / "set.dcm")
    return images, folder / "set.dcm"


def item(**values):
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def reference(z):
    return item(ReferencedSOPClassUID="1.2.840.10008.5.1.4.1.1.2", ReferencedSOPInstanceUID=f"2.25.3.{z + 1}")


def witnessed(folder, images, file):
    """Masks (slice, row, column) of each witness by the structures' names."""
    for name, flags in {XOR: ["--xor-contours"], JOIN: []}.items():
        out = folder / name.replace(" ", "")
        command = ["plastimatch", "convert", "--input", file, "--referenced-ct", images, "--output-prefix", out, "--prefix-format", "nrrd", *flags]
        subprocess.run(command, check=True, capture_output=True)
    dcmrtstruct2nii(str(file), str(images), str(folder / DCMRTSTRUCT), convert_original_dicom=False)
    read = lambda path: SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))) > 0
    return lambda witness, name: read(
        folder / DCMRTSTRUCT / f"mask_{name.replace(' ', '-')}.nii.gz" if witness == DCMRTSTRUCT else folder / witness.replace(" ", "") / f"{name}.nrrd"
    )


made = structures()
golden = {}
with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    images, file = write(folder, made)
    theirs = witnessed(folder, images, file)
    for name, (contours, witnesses) in made.items():
        mask = mask_of(contours, XOR not in witnesses)
        for witness in witnesses:
            other = theirs(witness, name)
            assert other.shape == mask.shape and (other == mask).all(), f"{witness}, {name}: {(other != mask).sum()} of {mask.sum()} voxels differ"
        numbers = [[[float(v) for v in point] for point in contour] for contour in contours]
        golden[name] = {"witnesses": witnesses, "contours": numbers, **counted(mask)}
version = subprocess.run(["plastimatch", "--version"], check=True, capture_output=True, text=True).stdout.strip()
versions = {name: importlib.metadata.version(name) for name in ["dcmrtstruct2nii", "numpy", "pydicom", "simpleitk"]}
geometry = {"columns": COLUMNS, "rows": ROWS, "slices": SLICES, "origin": [float(v) for v in ORIGIN], "spacing": [float(v) for v in SPACING], "step": float(STEP)}
text = json.dumps({"versions": {"plastimatch": version, **versions}, "geometry": geometry, "structures": golden})
GOLDEN.write_text(text.replace('"structures": {', '"structures": {\n').replace(']]], "counts"', ']]],\n "counts"').replace("}, \"", "},\n\"") + "\n")
print(f"wrote {GOLDEN.name}: {len(golden)} structures")
