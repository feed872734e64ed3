"""Golden values for tests/end_to_end, made by other people's programs (versions: tests/requirements.txt).

    just golden                                      the sample cohorts
    .venv/bin/python tests/golden/scripts/make.py MR CT      also 200 pairs of each real cohort, which
                                                     `just curate DATA/hippocampus-mr MR` and
                                                     `just curate DATA/head-neck-ct CT` have curated

similarity-*.json: scikit-image's SSIM (uniform and Gaussian window), MSE and PSNR in float64 on the
proxies that pdl wrote, for pairs spread over the matrix: of the volumes, of their middle planes, and of
the first volume of each pair against itself with a noise of 1e-4.
canonical.json: nibabel's as_closest_canonical of every sample volume: shape, affine, hash of the voxels.
"""

import json
import pathlib
import sys

import blake3
import nibabel
import numpy
import skimage
from proxies import arrays
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity

ROOT = pathlib.Path(__file__).resolve().parents[3]
GOLDEN = ROOT / "tests" / "golden" / "data"


def write(name, value):
    text = json.dumps(value, indent=1)
    (GOLDEN / name).write_text(text + "\n")
    print(f"wrote tests/golden/data/{name}")


def proxies(out):
    """case_id -> float64 array (z, y, x), in row order."""
    return {case: voxels.astype(numpy.float64) for case, voxels in arrays(out, "voxels").items()}


def noisy(array):
    """The array, in float32, with a noise of 1e-4 that any language can make."""
    place = numpy.arange(array.size, dtype=numpy.uint64) * 2654435761 % 2**32
    noise = (place.astype(numpy.float64) / 2**32 - 0.5) * 1e-4
    return (array.astype(numpy.float32).ravel() + noise.astype(numpy.float32)).reshape(array.shape).astype(numpy.float64)


def compare(x, y):
    gaussian = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
    return {
        "mse": mean_squared_error(x, y),
        "psnr": peak_signal_noise_ratio(x, y, data_range=1.0),
        "ssim_uniform": structural_similarity(x, y, data_range=1.0),
        "ssim_gaussian": structural_similarity(x, y, data_range=1.0, **gaussian),
    }


def similarity(out, name, count):
    arrays = proxies(out)
    cases = list(arrays)
    pairs = [(a, b) for a in range(len(cases)) for b in range(a + 1, len(cases))]
    chosen = [pairs[i * (len(pairs) - 1) // (count - 1)] for i in range(count)]
    rows = []
    for a, b in chosen:
        x, y = arrays[cases[a]], arrays[cases[b]]
        middle = len(x) // 2
        rows.append({
            "case_a": cases[a],
            "case_b": cases[b],
            "volumes": compare(x, y),
            "planes": compare(x[middle], y[middle]),
            "noisy": compare(x, noisy(x)),
        })
    versions = {"scikit-image": skimage.__version__, "numpy": numpy.__version__}
    write(f"similarity-{name}.json", {"versions": versions, "pairs": rows})


def canonical():
    rows = {}
    for path in sorted((ROOT / "sample-data").glob("*/*/*.nii.gz")):
        image = nibabel.as_closest_canonical(nibabel.load(path))
        voxels = numpy.asarray(image.dataobj, dtype="<f4")
        rows[str(path.relative_to(ROOT / "sample-data"))] = {
            "shape": voxels.shape,
            "affine": image.affine.ravel().tolist(),
            "blake3": blake3.blake3(voxels.tobytes(order="F")).hexdigest(),
        }
    write("canonical.json", {"versions": {"nibabel": nibabel.__version__}, "volumes": rows})


def main():
    canonical()
    similarity(ROOT / "out" / "ct", "sample-ct", 20)
    similarity(ROOT / "out" / "mr", "sample-mr", 20)
    if len(sys.argv) > 2:
        similarity(pathlib.Path(sys.argv[1]), "hippocampus-mr", 200)
        similarity(pathlib.Path(sys.argv[2]), "head-neck-ct", 200)


if __name__ == "__main__":
    main()
