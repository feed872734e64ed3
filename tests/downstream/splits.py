"""Who is in which split: sites, leaks, copies, visits, cohorts that arrive later."""

import numpy as np

from trees import load, save
from user import Wrong, expect


def table(user, rows, columns):
    lines = [",".join(map(str, row)) for row in [columns, *rows]]
    (user.cohort / "cohort.csv").write_text("\n".join(lines) + "\n")


def leave_one_site_out(user):
    """nnUNet 348: folds by site"""
    rows = []
    for n in range(1, 22):
        image, labels, affine = load("ct", n)
        save(user.cohort / "images" / f"c_{n:02d}.nii.gz", image, affine)
        save(user.cohort / "labels" / f"c_{n:02d}.nii.gz", labels, affine, np.uint8)
        rows.append((f"images/c_{n:02d}.nii.gz", f"labels/c_{n:02d}.nii.gz", f"p{n}", "CT", f"site{n % 7}"))
    table(user, rows, ["image", "label", "patient", "modality", "site"])
    cases = user.curate("--carry", "site", "--test-share", "0", "--plan-from", "outside-test")
    user.run(user.pdl, "rank", user.out, "--group-by", "site")
    sites = {row["case_id"]: row["site"] for row in cases.usable}
    held_out = []
    for fold in sorted((user.out / "folds").iterdir()):
        parts = {"train": set(), "val": set()}
        for row in user.manifest(fold):
            parts[row["split"]].add(sites[row["case_id"]])
        if parts["train"] & parts["val"]:
            raise Wrong(f"{fold.name}: sites in two splits: {sorted(parts['train'] & parts['val'])}")
        held_out += sorted(parts["val"])
    expect("sites that are held out", sorted(set(sites.values())), sorted(held_out))
    return cases.summary()


def copies_in_the_test_folder(user):
    """fiftyone-brain 212, 224: scans of the training set under other names in the test set: as float, noisy, cropped, changed"""
    rows = []

    def put(name, image, labels, affine, split, dtype=np.int16):
        save(user.cohort / "i" / f"{name}.nii.gz", image, affine, dtype)
        save(user.cohort / "l" / f"{name}.nii.gz", labels, affine, np.uint8)
        rows.append((f"i/{name}.nii.gz", f"l/{name}.nii.gz", name, "CT", split))

    for n in range(1, 17):
        put(f"c{n:02d}", *load("ct", n), "train" if n < 12 else "val" if n < 14 else "test")
    image, labels, affine = load("ct", 1)
    put("t_same_float", image, labels, affine, "test", np.float32)
    image, labels, affine = load("ct", 2)
    put("t_noisy", image + np.random.default_rng(1).normal(0, 15, image.shape), labels, affine, "test")
    image, labels, affine = load("ct", 3)
    inner = affine.copy()
    inner[:3, 3] = (affine @ np.array([3, 3, 3, 1]))[:3]
    put("t_cropped", image[3:-3, 3:-3, 3:-3], labels[3:-3, 3:-3, 3:-3], inner, "test")
    image, labels, affine = load("ct", 4)
    put("t_changed", np.where(np.random.default_rng(2).random(image.shape) < 0.002, 300, image), labels, affine, "test")
    table(user, rows, ["image", "label", "patient", "modality", "split"])
    cases = user.curate(codes=(0, 3))
    said = user.run(user.pdl, "audit", user.out, codes=(0, 3))
    missed = [name for name in ("same_float", "noisy", "cropped", "changed") if f"t_{name}" not in said]
    # A copy that is cropped at several sides is compared at another scale; `pdl help splits` says
    # so.
    expect("copies that are not told", ["cropped"], missed)
    return cases.summary()


def bright_structures(user):
    """own, after nnUNet 3048: labels of metal alone, all at the end of the scale, must not blind the comparison"""
    rows = []
    for n in [*range(1, 21), 101, 102, 103]:
        image, labels, affine = load("ct", n % 100)
        drawn = np.zeros_like(labels)
        place = np.argwhere(labels == 3)
        drawn[tuple(slice(at - 2, at + 2) for at in place[len(place) // 2])] = 1
        image[drawn == 1] = np.random.default_rng(n % 100).uniform(2500, 3071, int(drawn.sum()))
        if n > 100:
            image = image + np.random.default_rng(n).normal(0, 15, image.shape)
        save(user.cohort / "i" / f"c_{n:03d}.nii.gz", image.round(), affine)
        save(user.cohort / "l" / f"c_{n:03d}.nii.gz", drawn, affine, np.uint8)
        split = "test" if n > 16 else "val" if n > 13 else "train"
        rows.append((f"i/c_{n:03d}.nii.gz", f"l/c_{n:03d}.nii.gz", f"c_{n:03d}", "CT", split))
    table(user, rows, ["image", "label", "patient", "modality", "split"])
    cases = user.curate(codes=(0, 3))
    pairs = [sorted((link["case_a"], link["case_b"])) for link in user.leaks()]
    expect("leaks", [[f"c_{n:03d}", f"c_{100 + n:03d}"] for n in (1, 2, 3)], sorted(pairs))
    return cases.summary()


def a_cohort_that_comes_later(user):
    """nnUNet 65, 1868, 2839: imagesTs with labelsTs are the test set, and another labelled folder is evaluated"""
    for n in range(1, 13):
        image, labels, affine = load("ct", n)
        part = "Tr" if n < 10 else "Ts"
        save(user.cohort / f"images{part}" / f"c_{n:02d}_0000.nii.gz", image, affine)
        save(user.cohort / f"labels{part}" / f"c_{n:02d}.nii.gz", labels, affine, np.uint8)
    later = user.folder / "later"
    for n in (13, 14):
        image, labels, affine = load("ct", n)
        save(later / "images" / f"x_{n}.nii.gz", image, affine)
        save(later / "labels" / f"x_{n}.nii.gz", labels, affine, np.uint8)
    cases = user.init_and_curate()
    expect("test", {"c_10", "c_11", "c_12"}, {case for case, split in cases.splits().items() if split == "test"})
    run = user.train()[0]
    rows = user.evaluation(run, "--split", "test", file="evaluation-test.parquet")
    expect("tested", {"c_10", "c_11", "c_12"}, {row["case_id"] for row in rows})
    rows = user.evaluation(run, "--cohort", later, file="evaluation-later.parquet")
    expect("later", {"x_13", "x_14"}, {row["case_id"] for row in rows})
    predicted = run / "predictions" / "test"
    said = user.run(user.pdl, "score", predicted, user.cohort / "labelsTs")
    if "3 cases compared" not in said:
        raise Wrong(f"score of predictions: {said}")
    return cases.summary()
