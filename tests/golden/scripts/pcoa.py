"""A plane of cases as scikit-bio 0.7.4 lays it out: tests/golden/data/pcoa.json.

    pip install scikit-bio==0.7.4 && python tests/golden/scripts/pcoa.py

The distances are those of a made-up cohort (square roots of 1 - similarity), which lie in no plane.
"""

import json
import pathlib

import numpy
import skbio

CASES = 24


def main():
    random = numpy.random.default_rng(7)
    points = random.normal(size=(CASES, 6)) * [4, 2, 1, 1, 0.5, 0.5]
    squares = ((points[:, None] - points[None]) ** 2).sum(-1)
    distances = numpy.sqrt(1 - numpy.exp(-squares / 40))
    found = skbio.stats.ordination.pcoa(skbio.DistanceMatrix(distances))
    plane = found.samples.to_numpy()[:, :2]
    golden = {
        "scikit_bio": skbio.__version__,
        "distances": [float(d) for d in distances.ravel()],
        "x": [float(v) for v in plane[:, 0]],
        "y": [float(v) for v in plane[:, 1]],
        "kept": [float(v) for v in found.proportion_explained[:2]],
    }
    path = pathlib.Path(__file__).resolve().parents[1] / "data" / "pcoa.json"
    path.write_text(json.dumps(golden) + "\n")


main()
