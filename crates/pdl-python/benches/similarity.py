"""`pdl.similarity` beside scikit-image, on the same arrays, in one run: `just bench-python`.

Volumes are made here, so that the figures can be repeated anywhere. Both are called as their users call them; figures
are pairs a second of wall time, medians of interleaved rounds.
"""

import statistics
import time

import numpy
from skimage.metrics import structural_similarity

import pdl

COUNT, SIDE, ROUNDS = 100, 64, 7
GAUSSIAN = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False)


def volumes():
    """Smooth noise in [0, 1]."""
    noise = numpy.random.default_rng(1).random((COUNT, SIDE, SIDE, SIDE), dtype="float32")
    for axis in (1, 2, 3):
        noise = (noise + numpy.roll(noise, 1, axis)) / 2
    return noise


def seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main():
    data = volumes()
    pairs = COUNT * (COUNT - 1) / 2
    for window, options in (("uniform", {}), ("gaussian", GAUSSIAN)):
        ours, theirs = [], []
        for _ in range(ROUNDS):
            ours.append(seconds(lambda: pdl.similarity(data, window=window)) / pairs)
            theirs.append(seconds(lambda: structural_similarity(data[0], data[1], data_range=1.0, **options)))
        rate, other = 1 / statistics.median(ours), 1 / statistics.median(theirs)
        ratios = [b / a for a, b in zip(ours, theirs)]
        print(f"{window:9} {rate:10.1f} pairs of {SIDE}^3 a second, SSIM and MSE; scikit-image, SSIM: {other:.1f};")
        print(f"          {rate / other:.0f} times ({min(ratios):.0f} to {max(ratios):.0f})")


if __name__ == "__main__":
    main()
