"""Losses and label maps of regions and of ignored voxels by nnU-Net's own classes, for crates/pdl-fit/src/optim/loss.rs.

    pip install -r tests/golden/scripts/requirements-regions.txt
    python tests/golden/scripts/regions.py > tests/golden/data/regions.json
"""

import json
from importlib.metadata import version

import numpy
import torch
from batchgeneratorsv2.transforms.utils.seg_to_regions import ConvertSegmentationToRegionsTransform
from nnunetv2.training.loss.compound_losses import DC_and_BCE_loss, DC_and_CE_loss
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss
from nnunetv2.utilities.label_handling.label_handling import LabelManager

BRATS = {"background": 0, "whole tumour": [1, 2, 3], "tumour core": [2, 3], "enhancing": 3}
KITS = {"background": 0, "kidney and masses": [1, 2, 3], "masses": [2, 3], "tumour": 2}
ORGANS = {"background": 0, "liver": 1, "tumour": 2}
CASES = [
    # labels, regions_class_order, shape of the patches (spatial), seed
    (BRATS, [1, 2, 3], (6, 5), 1),
    (BRATS | {"ignore": 4}, [1, 2, 3], (6, 5), 2),
    (KITS, [1, 3, 2], (3, 4, 5), 3),
    (KITS | {"ignore": 4}, [1, 3, 2], (3, 4, 5), 4),
    (ORGANS, None, (6, 5), 5),
    (ORGANS | {"ignore": 3}, None, (3, 4, 5), 6),
]
BATCH = 2
# as nnUNetTrainer._build_loss, with batch_dice of 2-D plans
DICE = {"batch_dice": True, "smooth": 1e-5, "ddp": False}


def terms(loss, logits, target):
    """Cross-entropy and Dice of a compound loss, each by itself."""
    parts = []
    for loss.weight_ce, loss.weight_dice in ((1, 0), (0, 1)):
        parts.append(float(loss(logits, target)))
    return parts[0], -parts[1]


def of_case(labels, order, shape, seed):
    random = numpy.random.default_rng(seed)
    manager = LabelManager(labels, order)
    heads = manager.num_segmentation_heads
    logits = torch.from_numpy(random.normal(0, 2, (BATCH, heads, *shape)).astype(numpy.float32))
    last = max(manager.all_labels) + manager.has_ignore_label
    target = torch.from_numpy(random.integers(0, last + 1, (BATCH, 1, *shape)))
    case = {
        "labels": labels,
        "shape": list(logits.shape),
        "logits": logits.ravel().tolist(),
        "target": target.ravel().tolist(),
        "ignore": manager.ignore_label,
        "regions": [list(numpy.atleast_1d(region).tolist()) for region in manager.foreground_regions] if manager.has_regions else [],
        "regions_class_order": order or [],
        "binary_cross_entropy": 0.0,
        "cross_entropy": None,
    }
    if manager.has_regions:
        regions = list(manager.foreground_regions) + ([manager.ignore_label] if manager.has_ignore_label else [])
        convert = ConvertSegmentationToRegionsTransform(regions=regions, channel_in_seg=0)
        truth = torch.stack([convert(segmentation=one)["segmentation"] for one in target])
        loss = DC_and_BCE_loss({}, DICE | {"do_bg": True}, use_ignore_label=manager.has_ignore_label, dice_class=MemoryEfficientSoftDiceLoss)
        case["binary_cross_entropy"], case["dice"] = terms(loss, logits, truth)
    else:
        loss = DC_and_CE_loss(DICE | {"do_bg": False}, {}, ignore_label=manager.ignore_label, dice_class=MemoryEfficientSoftDiceLoss)
        case["cross_entropy"], case["dice"] = terms(loss, logits, target)
    maps = [manager.convert_logits_to_segmentation(one) for one in logits]
    case["segmentation"] = torch.stack(maps).ravel().tolist()
    return case


def main():
    versions = {name: version(name) for name in ("nnunetv2", "batchgeneratorsv2", "torch", "numpy")}
    print(json.dumps({"versions": versions, "cases": [of_case(*case) for case in CASES]}))


main()
