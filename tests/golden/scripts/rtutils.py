"""A second witness of the contours of lung-ct-rtstruct: rt-utils, which takes all pixels on an edge: rtutils.json.

    python -m pip install blake3==1.0.11 numpy==2.4.6 opencv-python==5.0.0.93 pydicom==3.0.2 rt-utils==1.2.7
    python tests/golden/scripts/rtutils.py DATA        (DATA holds lung-ct-rtstruct)

rt-utils rounds the vertices to pixels and fills them with OpenCV's fillPoly, which draws the boundary, too: the
inclusive rule, as pdl's is. Beside it the masks by exact arithmetic, which crates/pdl-dicom/tests/real.rs compares with
pdl's voxel by voxel. Asserted of every structure: under the inclusive rule Dice is 0.98 or more and the volume within 2%.
dcmrtstruct2nii (dicom.py) takes the edges of one side only. Its own check of the references stops at this set, so the
series and the structures are given to it one by one.
"""

import collections
import importlib.metadata
import json
import pathlib
import sys
from fractions import Fraction

import numpy
import pydicom
from rt_utils import image_helper
from rt_utils.rtstruct import RTStruct

from exact import counted, fill, likeness

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "data" / "rtutils.json"


def text(value):
    return Fraction(str(getattr(value, "original_string", value)))


def exact(region, images):
    """The masks (slice, row, column) of a structure: all pixels, and those of them that lie on an edge."""
    first = images[0]
    assert [float(v) for v in first.ImageOrientationPatient] == [1, 0, 0, 0, 1, 0]
    origin = [text(v) for v in first.ImagePositionPatient]
    between_rows, between_columns = (text(v) for v in first.PixelSpacing)
    heights = [text(d.ImagePositionPatient[2]) for d in images]
    planes = collections.defaultdict(list)
    for contour in region.ContourSequence:
        data = [text(v) for v in contour.ContourData]
        pixels = [((x - origin[0]) / between_columns, (y - origin[1]) / between_rows) for x, y in zip(data[::3], data[1::3])]
        planes[min(range(len(heights)), key=lambda z: abs(heights[z] - data[2]))].append(pixels)
    masks = numpy.zeros((2, len(images), first.Rows, first.Columns), bool)
    for z, lists in planes.items():
        for mask, pixels in zip(masks, fill(lists, first.Columns, first.Rows)):
            for row, column in pixels:
                mask[z, row, column] = True
    return masks


folders = [sorted(folder.iterdir()) for folder in (pathlib.Path(sys.argv[1]) / "lung-ct-rtstruct").glob("*/*")]
series = next(paths for paths in folders if len(paths) > 1)
file = next(paths[0] for paths in folders if len(paths) == 1)
images = [pydicom.dcmread(path, stop_before_pixels=True) for path in series]
images.sort(key=lambda image: image.ImagePositionPatient[2])
structures = pydicom.dcmread(file)
theirs = RTStruct(image_helper.load_sorted_image_series(str(series[0].parent)), structures)
names = {roi.ROINumber: roi.ROIName for roi in structures.StructureSetROISequence}
found = {}
for region in structures.ROIContourSequence:
    name = names[region.ReferencedROINumber]
    inclusive, edges = exact(region, images)
    mask = theirs.get_roi_mask_by_name(name).transpose(2, 0, 1)
    figures = {"inclusive_rule": likeness(inclusive, mask), "exclusive_rule": likeness(inclusive & ~edges, mask)}
    print(name, figures)
    assert figures["inclusive_rule"]["dice"] >= 0.98 and abs(figures["inclusive_rule"]["volume"] - 1) <= 0.02
    found[name] = {**counted(mask), "by_exact_arithmetic": counted(inclusive)["blake3"], **figures}
versions = {name: importlib.metadata.version(name) for name in ["numpy", "opencv-python", "pydicom", "rt-utils"]}
GOLDEN.write_text(json.dumps({"versions": versions, "contours": found}, indent=1) + "\n")
