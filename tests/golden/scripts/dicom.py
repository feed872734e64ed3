"""Golden values for crates/pdl-dicom/tests/real.rs from the real DICOM sets below DATA, made by other programs.

    python tests/golden/scripts/dicom.py DATA        (DATA holds lung-ct-rtstruct, jpeg2000-ct, ...; packages: requirements-dicom.txt)

volumes: shape, affine, sum of every slice and hash of the float32 voxels (x fastest) after nibabel's
as_closest_canonical, of SimpleITK's series reader or of the NIfTI that the set brings.
segments: pixels of every slice and hash of the uint8 mask, from the NRRD that the set brings.
contours: the same for each structure, by exact rational arithmetic: even-odd over the edges of all contours of a
plane, and pixels within 1/20 of a pixel of an edge that is walked an odd number of times. Beside it, as witness,
dcmrtstruct2nii's mask: the vertices lie on pixel centres, and of the pixels on an edge it takes those on one side, so
that Dice with a rule that takes all or none of them is low. Asserted: it holds every pixel that lies strictly inside,
and none that lies outside; and its Dice with the half-open rule by exact arithmetic is 0.98 or more, its volume
within 2%.
"""

import collections
import importlib.metadata
import json
import pathlib
import sys
import tempfile
from fractions import Fraction

import blake3
import nibabel
import numpy
import pydicom
import SimpleITK

# the name by which dcmrtstruct2nii 5 calls it; pydicom 3 dropped it
pydicom.read_file = pydicom.dcmread
from dcmrtstruct2nii import dcmrtstruct2nii

from exact import counted, fill, likeness

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "data" / "dicom.json"
DATA = pathlib.Path(sys.argv[1])


def canonical(image, dtype=numpy.float32):
    image = nibabel.as_closest_canonical(image)
    voxels = numpy.asarray(image.dataobj).astype(dtype)
    return {
        "shape": list(voxels.shape),
        "affine": image.affine.flatten().tolist(),
        "sums": [float(v) for v in voxels.astype(numpy.float64).sum(axis=(0, 1))],
        "blake3": blake3.blake3(voxels.tobytes(order="F")).hexdigest(),
    }


def of_itk(image, dtype=numpy.float32):
    affine = numpy.eye(4)
    direction = numpy.array(image.GetDirection()).reshape(3, 3)
    affine[:3, :3] = direction * numpy.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    affine = numpy.diag([-1, -1, 1, 1]) @ affine
    voxels = SimpleITK.GetArrayFromImage(image).transpose(2, 1, 0)
    return canonical(nibabel.Nifti1Image(voxels.astype(dtype), affine), dtype)


def series(folder):
    names = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    return of_itk(SimpleITK.Cast(SimpleITK.ReadImage(names), SimpleITK.sitkFloat32))


def one(path):
    return of_itk(SimpleITK.Cast(SimpleITK.ReadImage(str(path)), SimpleITK.sitkFloat32))


def stored(path, frame=None):
    """The stored integers of a NIfTI, without its slope."""
    image = nibabel.load(path)
    voxels = image.dataobj.get_unscaled()
    voxels = voxels if frame is None else voxels[..., frame]
    return canonical(nibabel.Nifti1Image(numpy.asarray(voxels).astype(numpy.float32), image.affine))


def volumes():
    found = {
        "lung-ct-rtstruct": series(next(p for p in (DATA / "lung-ct-rtstruct").glob("*/*") if len(list(p.iterdir())) > 1)),
        "jpeg2000-ct": series(DATA / "jpeg2000-ct/series"),
    }
    for name in ["ct-3slice", "24x38x3/image", "23x38x3/image"]:
        found[f"segmentation/{name}"] = series(DATA / "segmentation" / name)
    for name in ["24x38x3/multiframe", "23x38x3/multiframe"]:
        found[f"segmentation/{name}"] = one(DATA / "segmentation" / name / "mf.dcm")
    for number in range(1, 10):
        found[f"transfer-syntaxes/In/{number}.dcm"] = stored(DATA / f"transfer-syntaxes/Ref/{number}.nii")
    reference = DATA / "enhanced-mr/Ref"
    for number in range(4):
        found[f"enhanced-mr/In/Siemens/XA10/6_{number + 1}.dcm"] = stored(
            reference / "Siemens_REST1_w_SMS_PF7-8_6.nii", number
        )
    found["enhanced-mr/In/Philips/IM_0027_fMAP.dcm magnitude"] = stored(reference / "Philips_WIP_B0_NS_801_e1.nii")
    found["enhanced-mr/In/Philips/IM_0027_fMAP.dcm field map"] = stored(
        reference / "Philips_WIP_B0_NS_801_e2_fieldmaphz.nii"
    )
    return found


def segments():
    found = {}
    for name, files in {
        "segmentation/24x38x3/seg/label.seg": ["24x38x3/nrrd/label.nrrd"],
        "segmentation/23x38x3/seg/label.seg": ["23x38x3/nrrd/label.nrrd"],
        "segmentation/liver.dcm": ["liver_seg.nrrd"],
        "segmentation/partial_overlaps.dcm": [f"partial_overlaps-{n}.nrrd" for n in (1, 2, 3)],
    }.items():
        for file in files:
            image = SimpleITK.ReadImage(str(DATA / "segmentation" / file))
            for value in numpy.unique(SimpleITK.GetArrayViewFromImage(image)):
                if value:
                    found[f"{name} {value}"] = of_itk(image == int(value), numpy.uint8)
    return found


def witness(folder, file):
    """dcmrtstruct2nii's masks (slice, row, column) by the structures' names."""
    with tempfile.TemporaryDirectory() as out:
        dcmrtstruct2nii(str(file), str(folder), out, convert_original_dicom=False)
        paths = pathlib.Path(out).glob("mask_*.nii.gz")
        read = lambda path: SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))) > 0
        return {path.name.removeprefix("mask_").removesuffix(".nii.gz"): read(path) for path in paths}


def compared(inclusive, edges, half_open, theirs):
    exclusive = inclusive & ~edges
    half = likeness(half_open, theirs)
    assert half["dice"] >= 0.98 and abs(half["volume"] - 1) <= 0.02, half
    assert not (theirs & ~inclusive).any() and not (exclusive & ~theirs).any(), "they differ off the edges"
    return {
        **counted(theirs),
        "on_an_edge": int(edges.sum()),
        "on_an_edge_and_taken": int((theirs & edges).sum()),
        "inclusive_rule": likeness(inclusive, theirs),
        "exclusive_rule": likeness(exclusive, theirs),
        "half_open_rule": half,
    }


def contours():
    folders = list((DATA / "lung-ct-rtstruct").glob("*/*"))
    images = [pydicom.dcmread(p, stop_before_pixels=True) for f in folders if len(list(f.iterdir())) > 1 for p in f.iterdir()]
    images.sort(key=lambda d: d.ImagePositionPatient[2])
    file = next(p for f in folders if len(list(f.iterdir())) == 1 for p in f.iterdir())
    structures = pydicom.dcmread(file)
    theirs = witness(next(f for f in folders if len(list(f.iterdir())) > 1), file)
    first = images[0]
    assert [float(v) for v in first.ImageOrientationPatient] == [1, 0, 0, 0, 1, 0]
    text = lambda value: Fraction(str(getattr(value, "original_string", value)))
    origin = [text(v) for v in first.ImagePositionPatient]
    between_rows, between_columns = (text(v) for v in first.PixelSpacing)
    heights = [text(d.ImagePositionPatient[2]) for d in images]
    names = {roi.ROINumber: roi.ROIName for roi in structures.StructureSetROISequence}
    found = {}
    for roi in structures.ROIContourSequence:
        planes = collections.defaultdict(list)
        for contour in roi.ContourSequence:
            data = [text(v) for v in contour.ContourData]
            points = list(zip(data[::3], data[1::3]))
            pixels = [((x - origin[0]) / between_columns, (y - origin[1]) / between_rows) for x, y in points]
            planes[min(range(len(heights)), key=lambda z: abs(heights[z] - data[2]))].append(pixels)
        mask, edges, half_open = masks = numpy.zeros((3, len(images), first.Rows, first.Columns), bool)
        for z, lists in planes.items():
            for part, pixels in zip(masks, fill(lists, first.Columns, first.Rows)):
                for row, column in pixels:
                    part[z, row, column] = True
        name = names[roi.ReferencedROINumber]
        found[name] = {**counted(mask), "dcmrtstruct2nii": compared(mask, edges, half_open, theirs[name])}
        print(name, {k: v for k, v in found[name]["dcmrtstruct2nii"].items() if k.endswith("rule")})
    return found


golden = {
    "versions": {"SimpleITK": SimpleITK.__version__, "dcmrtstruct2nii": importlib.metadata.version("dcmrtstruct2nii"), "nibabel": nibabel.__version__, "pydicom": pydicom.__version__},
    "volumes": volumes(),
    "segments": segments(),
    "contours": contours(),
}
GOLDEN.write_text(json.dumps(golden, indent=1) + "\n")
print("wrote tests/golden/data/dicom.json")
