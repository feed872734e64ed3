"""Connected components and nnU-Net's rule on them, by SciPy, for crates/pdl-fit/src/inference/postprocessing.rs.

    # numpy 2.4, scipy 1.17
    python tests/golden/scripts/components.py > tests/golden/data/components.json

Each cohort has predictions and references of three labels, and the decision of nnU-Net's determine_postprocessing
(nnunetv2/postprocessing/remove_connected_components.py) on them, written with scipy.ndimage: the largest component of
all labels together, if the mean Dice rises and no label's falls; then of each label for itself, if its Dice rises.
"""

import json

import numpy
from scipy import ndimage

SHAPE = (6, 9, 11)  # z, y, x
LABELS = (1, 2, 3)
COHORTS = 24


def keep_largest(labels, of):
    mask = numpy.isin(labels, of)
    components, count = ndimage.label(mask, structure=numpy.ones((3, 3, 3)))
    sizes = numpy.bincount(components.ravel(), minlength=count + 1)[1:]
    largest = [number + 1 for number, size in enumerate(sizes) if size == sizes.max()]
    kept = labels.copy()
    kept[mask & ~numpy.isin(components, largest)] = 0
    return kept


def dice(predicted, truth):
    """Mean over the cases for each label; without cases in which it is in neither."""
    def of_case(p, t, label):
        p, t = p == label, t == label
        return 2 * (p & t).sum() / (p.sum() + t.sum()) if p.any() or t.any() else numpy.nan
    return numpy.nanmean([[of_case(p, t, label) for label in LABELS] for p, t in zip(predicted, truth)], axis=0)


def decide(predicted, truth):
    before = dice(predicted, truth)
    filtered = [keep_largest(p, LABELS) for p in predicted]
    after = dice(filtered, truth)
    together = bool(after.mean() > before.mean() and not (after < before).any())
    source = filtered if together else predicted
    single = []
    for label in LABELS:
        kept = [keep_largest(p, [label]) for p in source]
        if dice(kept, truth)[label - 1] > dice(source, truth)[label - 1]:
            single.append(label)
            source = kept
    return together, single, source


def labels(random, count, touch):
    """Smooth blobs of each label, later ones over earlier ones; all about the middle where they are to touch."""
    drawn = numpy.zeros(SHAPE, numpy.uint8)
    for label in LABELS:
        for _ in range(count):
            spread = 0.12 if touch else 0.5
            centre = [side * random.uniform(0.5 - spread, 0.5 + spread) for side in SHAPE]
            radius = random.uniform(1.6, 2.8) if touch else random.uniform(0.6, 2.8)
            far = sum(((at - c) / radius) ** 2 for at, c in zip(numpy.indices(SHAPE), centre))
            drawn[far <= 1] = label
    return drawn


def golden():
    random = numpy.random.default_rng(7)
    cohorts = []
    for number in range(COHORTS):
        touch = number % 3 == 1
        truth = [labels(random, 1 if touch else 1 + number % 2, touch) for _ in range(3)]
        predicted = []
        for t in truth:
            p = t.copy()
            for _ in range(number % 4):  # islands of one label
                at = tuple(random.integers(0, side - 1) for side in SHAPE)
                p[at[0] : at[0] + 2, at[1], at[2]] = random.integers(1, 4)
            lost = random.random(SHAPE) < 0.02 * (number % 3)
            p[lost] = 0
            predicted.append(p)
        together, single, filtered = decide(predicted, truth)
        text = lambda maps: ["".join(map(str, m.ravel())) for m in maps]
        cohorts.append({"truth": text(truth), "predicted": text(predicted), "together": together, "single": single, "filtered": text(filtered)})
    return {"shape": SHAPE, "cohorts": cohorts}


if __name__ == "__main__":
    print(json.dumps(golden()))
