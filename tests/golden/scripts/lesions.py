"""Connected components by scipy.ndimage, for crates/pdl-fit/src/metrics/lesions.rs.

    # scipy 1.17.1, numpy 2.4.6
    python tests/golden/scripts/lesions.py > tests/golden/data/lesions.json
"""

import json

import numpy
import scipy
from scipy import ndimage

SHAPES = [(5, 7, 9), (1, 12, 10), (8, 6, 6), (4, 4, 4), (9, 9, 3), (6, 8, 7)]
NEIGHBOURS = numpy.ones((3, 3, 3))


def masks(number, shape):
    """A reference and a prediction that share some voxels; thin enough that many components touch by a corner only."""
    random = numpy.random.default_rng(number)
    drawn = random.random(shape) < (0.06, 0.12, 0.2, 0.0, 0.1, 0.03)[number]
    kept = drawn & (random.random(shape) < 0.5)
    return drawn, kept | (random.random(shape) < 0.05)


def lesions(drawn, predicted):
    of_drawn, count_drawn = ndimage.label(drawn, NEIGHBOURS)
    of_predicted, count_predicted = ndimage.label(predicted, NEIGHBOURS)
    found = len(set(of_drawn[predicted & drawn]))
    right = len(set(of_predicted[predicted & drawn]))
    return [count_drawn, found, count_predicted, count_predicted - right]


def main():
    cases = []
    for number, shape in enumerate(SHAPES):
        drawn, predicted = masks(number, shape)
        flat = [mask.astype(int).ravel().tolist() for mask in (drawn, predicted)]
        cases.append({"shape": shape, "drawn": flat[0], "predicted": flat[1], "lesions": lesions(drawn, predicted)})
    drawn, found, predicted, made_up = numpy.sum([case["lesions"] for case in cases], 0)
    cohort = {
        "sensitivity": found / drawn,
        "precision": 1 - made_up / predicted,
        "false_positives_per_case": made_up / len(cases),
    }
    print(json.dumps({"scipy": scipy.__version__, "cases": cases, "cohort": cohort}))


main()
