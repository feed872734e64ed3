"""Golden values of the intensity schemes, by other people's programs: normalise.json.

    python -m pip install --requirement requirements-normalise.txt
    python normalise.py

Images are given by a formula that the test repeats. Nyul's histogram matching is intensity-normalization's, with the
voxels above each image's mean as its mask, and 0 and 1 as the ends of its scale; the others are NumPy's.
"""

import json
import pathlib

import numpy
from intensity_normalization.adapters.images import NumpyImageAdapter
from intensity_normalization.normalizers.population.nyul import NyulNormalizer


def image(seed):
    """1,200 voxels, a third of them background."""
    i = numpy.arange(1200, dtype=numpy.int64)
    noise = (i * 7919 + seed * 104729) % 1009
    tissue = 200 * seed + noise + (noise * noise % 251)
    return numpy.where(i % 3 == 0, noise % 7, tissue).astype(numpy.float64).reshape(10, 10, 12)


def main():
    images = [image(seed) for seed in range(1, 6)]
    adapters = [NumpyImageAdapter(one) for one in images]
    masks = [NumpyImageAdapter((one > one.mean()).astype(float)) for one in images]
    nyul = NyulNormalizer(output_min_value=0.0, output_max_value=1.0)
    nyul.fit_population(adapters, masks)
    matched = nyul.transform(adapters[3], masks[3]).get_data()
    low, high = numpy.percentile(images[3], [0.5, 99.5])
    golden = {
        "standard_scale": [float(v) for v in nyul.standard_scale],
        "nyul": matched.ravel()[:200].tolist(),
        "percentile": numpy.clip((images[3] - low) / (high - low), 0, 1).ravel()[:200].tolist(),
        "window": numpy.clip((images[3] - 100) / 900, 0, 1).ravel()[:200].tolist(),
    }
    path = pathlib.Path(__file__).resolve().parents[1] / "data" / "normalise.json"
    path.write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
