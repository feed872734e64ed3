"""Orientations, sizes, sides, and what is made of a trained network."""

import json

import nibabel as nib
import numpy as np
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from scipy.ndimage import label as components

from labels import folders
from trees import load, merged, save, save_json
from user import Wrong, expect, values


def turned(voxels, affine, code):
    """A volume stored in another orientation."""
    image = nib.Nifti1Image(voxels, affine)
    image = image.as_reoriented(ornt_transform(io_orientation(affine), axcodes2ornt(code)))
    return np.asarray(image.dataobj), image.affine


def every_orientation(user):
    """nnUNet 1956, 2897: each case is stored in another orientation, and the new image in one of none of them"""
    codes = ["RAS", "LPS", "LAS", "PIR", "SRA", "AIL", "IPR", "RSP"]

    def change(n, image, labels, affine):
        code = codes[n % len(codes)]
        return turned(image, affine, code)[0], turned(labels, affine, code)[0], turned(image, affine, code)[1]

    folders(user, 18, change)
    image, _, affine = load("ct", 20)
    for code in ("RAS", "SAL"):
        save(user.folder / "new" / f"x_{code}.nii.gz", *turned(image, affine, code))
    cases = user.curate()
    predicted = user.predict(user.train(steps=60)[0], user.folder / "new")
    for code in ("RAS", "SAL"):
        expect("stored axes", tuple(code), nib.aff2axcodes(predicted[f"x_{code}"].affine))
    same = [np.asarray(nib.as_closest_canonical(predicted[f"x_{code}"]).dataobj) for code in ("RAS", "SAL")]
    differ = float((same[0] != same[1]).mean())
    if differ > 0.001:
        raise Wrong(f"the label map depends on the orientation: {differ:.2%} of the voxels differ")
    return cases.summary()


def label_without_its_origin(user):
    """nnUNet 1913, 2551, torchio 860: label maps of the image's shape with another origin, or without an affine"""

    def change(n, image, labels, affine):
        return image, labels, affine

    folders(user, 12, change)
    for n in range(1, 5):
        _, labels, affine = load("ct", n)
        affine = np.eye(4) if n > 2 else affine.copy()
        affine[:3, 3] = 0
        save(user.cohort / "labels" / f"c_{n:02d}.nii.gz", labels, affine, np.uint8)
    plain = user.curate(codes=(0, 3))
    expect("rejected", ["c_01", "c_02", "c_03", "c_04"], plain.rejected)
    if not all("--copy-affine" in finding["message"] for finding in plain.findings if finding["code"] == "grid-mismatch"):
        raise Wrong("it does not name --copy-affine")
    cases = user.curate("--copy-affine")
    expect("usable", 12, len(cases.usable))
    return cases.summary()


def tiny_volumes(user):
    """MONAI 6782, tutorials 314: crops of five voxels and a single slice beside whole volumes"""

    def change(n, image, labels, affine):
        place = np.argwhere(labels == 3)
        if n in (1, 2):
            box = tuple(slice(max(0, at - 2), at + 3) for at in place[len(place) // 2])
        elif n == 3:
            box = (slice(None), slice(None), slice(place[0][2], place[0][2] + 1))
        else:
            box = ...
        return image[box], labels[box], affine

    folders(user, 18, change)
    cases = user.curate(codes=(0, 1, 3))
    run = user.train()[0]
    small = {name: image.shape for name, image in user.predict(run, user.cohort / "images").items()}
    expect("shapes", [(5, 5, 5), (5, 5, 5)], [small["c_01"], small["c_02"]])
    user.evaluation(run)
    return cases.summary()


def left_and_right(user):
    """nnUNet 2225, 2654, 2989: labels of sides, by their names or by their places, are not learnt on the wrong side"""
    folders(user, 12, lambda n, image, labels, affine: (image, labels, affine))
    ran = {}
    for left, right in (("LLung", "RLung"), ("first", "second")):
        names = {"background": 0, left: 1, right: 2, "heart": 3, "cord": 4, "oesophagus": 5}
        save_json(user.cohort / "dataset.json", {"channel_names": {"0": "CT"}, "labels": names})
        out = user.folder / left
        cases = user.curate(out=out)
        run, said = user.train("--augment", "light", out=out, steps=10)
        ran[left] = json.loads((run / "run.json").read_text())["plan"]["mirror"]
    expect("mirrored along x", {"LLung": False, "first": False}, {name: mirror[2] for name, mirror in ran.items()})
    if "count as left and right" not in said:
        raise Wrong("it does not say that labels are sides by their places")
    return cases.summary()


def components_and_probabilities(user):
    """nnUNet 492, 1438, 2366, 2389, BIBSnet 166, spinalcordtoolbox 4482: the largest component, and probability maps"""
    folders(user, 12, lambda n, image, labels, affine: (image, labels, affine))
    cases = user.curate()
    run, _ = user.train()
    image = user.cohort / "images" / "c_01.nii.gz"
    plain = user.predict(run, image)["c_01"]
    kept = user.predict(run, image, flags=("--largest-component", "1,2,3,4,5"))["c_01"]
    several = [v for v in values(kept) if components(np.asarray(kept.dataobj) == v, np.ones((3, 3, 3)))[1] > 1]
    expect("labels in several pieces", [], several)
    user.predict(run, image, flags=("--probabilities",))
    maps = sorted(user.folder.glob("predicted-*/probabilities/c_01/*.nii.gz"))
    each = np.stack([np.asarray(nib.load(path).dataobj, dtype=np.float64) for path in maps])
    expect("maps", (5, *plain.shape), each.shape)
    background = 1 - each.sum(0)
    labels = np.concatenate([background[None], each]).argmax(0)
    if background.min() < -1e-3 or (labels != np.asarray(plain.dataobj)).mean() > 0.001:
        raise Wrong("the most probable labels are not those of the label map")
    return cases.summary()


def folds_and_their_mean(user):
    """nnUNet 2426, 2468: the networks of all folds, and the mean of their probabilities"""
    folders(user, 12, lambda n, image, labels, affine: (image, labels, affine))
    cases = user.curate("--plan-from", "outside-test")
    user.run(user.pdl, "rank", user.out, "--folds", "3")
    user.train("--folds", "all")
    runs = sorted(user.out.glob("folds/*/runs/walk"))
    expect("runs", 3, len(runs))
    predicted = user.predict(runs[0], *runs[1:], user.cohort / "images" / "c_01.nii.gz")
    expect("label maps", ["c_01"], list(predicted))
    user.evaluation(runs[0])
    return cases.summary()


def another_cohorts_weights(user):
    """nnUNet 2252, 2663, 2820: a run starts from the weights of one with other labels"""
    folders(user, 12, lambda n, image, labels, affine: (image, labels, affine))
    cases = user.curate()
    first = user.train()[0]
    again = user.folder / "again"
    for n in range(1, 10):
        image, labels, affine = load("ct", n)
        save(again / "images" / f"d_{n}.nii.gz", image, affine)
        save(again / "labels" / f"d_{n}.nii.gz", merged(labels, {1: 1, 2: 1}), affine, np.uint8)
    out = user.folder / "out-again"
    user.curate(cohort=again, out=out)
    user.train("--init", first, out=out, steps=10)
    return cases.summary()
