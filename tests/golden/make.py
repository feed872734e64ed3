"""Golden values for tests/end_to_end, made by other people's programs (versions: tests/requirements.txt).

    just golden                                      the sample cohorts
    .venv/bin/python tests/golden/make.py OUT        also 20 pairs of the real hippocampus cohort, which
                                                     `just curate DATA/hippocampus-mr OUT` has curated

similarity-*.json: scikit-image's SSIM (uniform and Gaussian window), MSE and PSNR in float64 on the
proxies that pdl wrote, for 20 pairs spread over the matrix.
canonical.json: nibabel's as_closest_canonical of every sample volume: shape, affine, hash of the voxels.
"""

import json
import pathlib
import sys

import blake3
import nibabel
import numpy
import pyarrow
import skimage
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"
PAIRS = 20


def write(name, value):
    text = json.dumps(value, indent=1)
    (GOLDEN / name).write_text(text + "\n")
    print(f"wrote tests/golden/{name}")


def proxies(out):
    """case_id -> float64 array (z, y, x), in row order."""
    found = {}
    for path in sorted((out / "proxies").glob("*.arrow")):
        with pyarrow.memory_map(str(path)) as source:
            reader = pyarrow.ipc.open_file(source)
            shape = json.loads(reader.schema.metadata[b"shape"])
            for number in range(reader.num_record_batches):
                batch = reader.get_batch(number)
                voxels = batch.column("voxels").flatten().to_numpy().reshape(-1, *shape)
                for case, array in zip(batch.column("case_id").to_pylist(), voxels):
                    found[case] = array.astype(numpy.float64)
    return found


def similarity(out, name):
    arrays = proxies(out)
    cases = list(arrays)
    pairs = [(a, b) for a in range(len(cases)) for b in range(a + 1, len(cases))]
    chosen = [pairs[i * (len(pairs) - 1) // (PAIRS - 1)] for i in range(PAIRS)]
    rows = []
    for a, b in chosen:
        x, y = arrays[cases[a]], arrays[cases[b]]
        gaussian = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
        rows.append({
            "case_a": cases[a],
            "case_b": cases[b],
            "mse": mean_squared_error(x, y),
            "psnr": peak_signal_noise_ratio(x, y, data_range=1.0),
            "ssim_uniform": structural_similarity(x, y, data_range=1.0),
            "ssim_gaussian": structural_similarity(x, y, data_range=1.0, **gaussian),
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
    similarity(ROOT / "out" / "ct", "sample-ct")
    similarity(ROOT / "out" / "mr", "sample-mr")
    if len(sys.argv) > 1:
        similarity(pathlib.Path(sys.argv[1]), "hippocampus-mr")


if __name__ == "__main__":
    main()
