"""Metrics of label maps with regions and ignored voxels by nnU-Net's own evaluation, for tests/end_to_end/scores.rs.

    pip install -r tests/golden/scripts/requirements-regions.txt
    python tests/golden/scripts/region_scores.py > tests/golden/data/region_scores.json
"""

import json
import tempfile
from importlib.metadata import version
from pathlib import Path

import nibabel
import numpy
from nnunetv2.evaluation.evaluate_predictions import compute_metrics
from nnunetv2.imageio.nibabel_reader_writer import NibabelIO
from nnunetv2.utilities.label_handling.label_handling import LabelManager

SHAPE = (5, 4, 3)
BRATS = {"background": 0, "whole tumour": [1, 2, 3], "tumour core": [2, 3], "enhancing": 3}
KITS = {"background": 0, "kidney and masses": [1, 2, 3], "masses": [2, 3], "tumour": 2}
ORGANS = {"background": 0, "liver": 1, "tumour": 2}
DATASETS = [
    (BRATS, [1, 2, 3]),
    (BRATS | {"ignore": 4}, [1, 2, 3]),
    (KITS | {"ignore": 4}, [1, 3, 2]),
    (ORGANS | {"ignore": 3}, None),
]
# Labels that the reference, and the prediction, may have: all, or none of the innermost.
POOLS = [([0, 1, 2, 3, 4], [0, 1, 2, 3]), ([0, 1, 4], [0, 1, 3]), ([0, 1], [0, 1]), ([4], [0, 1, 2, 3])]


def metrics(folder, labels, order, reference, predicted):
    manager = LabelManager(labels, order)
    paths = [str(folder / name) for name in ("reference.nii.gz", "predicted.nii.gz")]
    for path, voxels in zip(paths, (reference, predicted)):
        nibabel.save(nibabel.Nifti1Image(voxels.astype(numpy.uint8), numpy.eye(4)), path)
    structures = manager.foreground_regions if manager.has_regions else manager.foreground_labels
    found = compute_metrics(*paths, NibabelIO(), structures, manager.ignore_label)["metrics"]
    names = [name for name in labels if name not in ("background", "ignore")]
    value = lambda number: None if numpy.isnan(number) else float(number)  # noqa: E731
    return {
        name: {key: value(found[structure][key]) for key in ("Dice", "FP", "FN", "n_pred", "n_ref")}
        for name, structure in zip(names, structures)
    }


def main():
    random = numpy.random.default_rng(1)
    cases = []
    with tempfile.TemporaryDirectory() as folder:
        for labels, order in DATASETS:
            last = max(numpy.max(value) for value in labels.values())
            for of_reference, of_prediction in POOLS:
                pools = [[value for value in pool if value <= last] or [0] for pool in (of_reference, of_prediction)]
                pools[1] = [value for value in pools[1] if value != labels.get("ignore")]
                maps = [random.choice(pool, SHAPE) for pool in pools]
                found = metrics(Path(folder), labels, order, *maps)
                flat = [voxels.ravel(order="F").tolist() for voxels in maps]
                dataset = {"channel_names": {"0": "MR"}, "labels": labels} | ({"regions_class_order": order} if order else {})
                # As text: regions are in the order of the file.
                case = {"dataset_json": json.dumps(dataset), "reference": flat[0], "predicted": flat[1], "metrics": found}
                cases.append(case)
    versions = {name: version(name) for name in ("nnunetv2", "numpy", "nibabel")}
    print(json.dumps({"versions": versions, "shape": SHAPE, "cases": cases}))


main()
