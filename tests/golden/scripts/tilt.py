"""Golden values of the tilted series for crates/pdl-dicom/tests/real.rs, with dcm2niix as the witness.

    python tests/golden/scripts/tilt.py DATA         (DATA holds tilted-ct; packages: requirements-dicom.txt)

dcm2niix shears the slices along their columns to a straight grid and interpolates between them, both linearly, as
pdl does and on the same rows and columns. Two things differ. It takes a step of its own along the normal (2.62 mm
here, twice as many slices as stored; pdl takes the 4.00 mm that most slices have). And where padding meets the image
(the rim of the scanner's round field of view, and the ends of a sheared slice) it rounds and fills in its own way:
no other voxel differs by more than one grey level, but for the rounding of one in a million.
So the same rule is written here once more in numpy, is compared with dcm2niix on dcm2niix's grid (99% of voxels
within one grey level, 99.999% away from the padding, or this fails), and is then evaluated on pdl's grid: of that the
sum of every slice and its first moments along columns and rows are kept.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import dcm2niix
import nibabel
import numpy
import pydicom

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "data" / "tilt.json"
SERIES = pathlib.Path(sys.argv[1]) / "tilted-ct"


def straightened_by_dcm2niix():
    """Voxels (slice, row, column) with rows as stored, the affine, and the program's first line."""
    with tempfile.TemporaryDirectory() as folder:
        said = subprocess.run([dcm2niix.bin, "-f", "tilt", "-o", folder, SERIES], check=True, capture_output=True, text=True)
        image = nibabel.load(next(pathlib.Path(folder).glob("*_Tilt_Eq_*.nii")))
        return numpy.asarray(image.dataobj, float).transpose(2, 1, 0)[:, ::-1], image.affine, said.stdout.split("\n")[0]


slices = [pydicom.dcmread(path) for path in SERIES.iterdir()]
directions = numpy.array(slices[0].ImageOrientationPatient, float).reshape(2, 3)
normal = numpy.cross(*directions)
slices.sort(key=lambda d: numpy.array(d.ImagePositionPatient, float) @ normal)
places = numpy.array([d.ImagePositionPatient for d in slices], float)
spacing = [float(v) for v in slices[0].PixelSpacing]
heights = (places - places[0]) @ normal
shifts = (places - places[0]) @ directions[1] / spacing[0]
assert abs((places - places[0]) @ directions[0]).max() < 1e-6, "the tilt is along rows alone"
stored = numpy.stack([d.pixel_array * float(d.RescaleSlope) + float(d.RescaleIntercept) for d in slices])
outside = stored.min()
rows = stored.shape[1]
inset = int(numpy.ceil(-shifts.min() - 0.01))

sheared = numpy.full((len(slices), rows + inset, stored.shape[2]), outside)
at_padding = numpy.zeros(sheared.shape, bool)
for number, shift in enumerate(shifts):
    wanted = numpy.arange(rows + inset) - inset - shift
    held = (wanted >= -1e-6) & (wanted <= rows - 1 + 1e-6)
    wanted = wanted[held].clip(0, rows - 1)
    low = numpy.floor(wanted).astype(int)
    weight = (wanted - low)[:, None]
    sheared[number, held] = stored[number, low] * (1 - weight) + stored[number, (low + 1).clip(max=rows - 1)] * weight
    ends = numpy.pad(stored[number] == outside, ((1, 1), (0, 0)), constant_values=True)
    low = (numpy.floor(numpy.arange(rows + inset) - inset - shift + 1e-9).astype(int) + 1).clip(0, rows)
    at_padding[number] = ends[low] != ends[low + 1]


def below(wanted):
    return (numpy.searchsorted(heights, wanted, side="right") - 1).clip(0, len(heights) - 2)


def at(wanted):
    wanted = wanted.clip(max=heights[-1])
    low = below(wanted)
    weight = ((wanted - heights[low]) / (heights[low + 1] - heights[low]))[:, None, None]
    return sheared[low] * (1 - weight) + sheared[low + 1] * weight


theirs, affine, version = straightened_by_dcm2niix()
their_step = numpy.linalg.norm(affine[:3, 2])
same = at(numpy.arange(len(theirs)) * their_step)
near = abs(same - theirs) <= 1
low = below(numpy.arange(len(theirs)) * their_step)
dark_in_both = (same == outside) & (theirs == outside)
edge = at_padding[low] | at_padding[low + 1] | ((sheared[low] == outside) != (sheared[low + 1] == outside))
agreement = {"all": near.mean(), "image": near[~dark_in_both].mean(), "away from padding": near[~edge].mean()}
print(version, agreement)
assert agreement["all"] >= 0.99 and agreement["image"] >= 0.99 and agreement["away from padding"] >= 0.99999

gaps = numpy.diff(heights)
step = gaps[gaps >= numpy.median(gaps) / 2].min()
ours = at(numpy.arange(int(heights[-1] / step + 1e-3) + 1) * step)
golden = {
    "versions": {"dcm2niix": version, "nibabel": nibabel.__version__, "pydicom": pydicom.__version__},
    "within_one_grey_level_of_dcm2niix": agreement,
    "step_of_dcm2niix_mm": their_step,
    "step_mm": step,
    "shape": list(ours.shape[::-1]),
    "sums": ours.sum(axis=(1, 2)).tolist(),
    "moments_x": (ours.sum(axis=1) @ numpy.arange(ours.shape[2])).tolist(),
    "moments_y": (ours.sum(axis=2) @ numpy.arange(ours.shape[1])).tolist(),
}
GOLDEN.write_text(json.dumps(golden, indent=1) + "\n")
print("wrote tests/golden/data/tilt.json")
