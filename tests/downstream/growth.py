"""Cohorts that change between two runs: files renamed, replaced and removed, folders moved."""

import numpy as np

from trees import load, save
from user import Wrong, expect


def put(user, numbers, name="c_{:02d}", root=None):
    for n in numbers:
        image, labels, affine = load("ct", n)
        for folder, voxels, dtype in (("images", image, np.int16), ("labels", labels, np.uint8)):
            save((root or user.cohort) / folder / f"{name.format(n)}.nii.gz", voxels, affine, dtype)


def files_that_are_renamed(user):
    """DVC and DataLad users: the same files under other names must not pass from test to training"""
    put(user, range(1, 13))
    before = user.curate().splits()
    for folder in ("images", "labels"):
        for path in sorted((user.cohort / folder).iterdir()):
            path.rename(path.with_name(f"new_{path.name}"))
    cases = user.curate()
    expect("splits", {f"new_{case}": split for case, split in before.items()}, cases.splits())
    cases.says("split-kept")
    return cases.summary()


def a_folder_that_is_moved(user):
    """nnUNet 1504 and others: the cohort's folder is renamed between two runs; another cohort is not taken for it"""
    put(user, range(1, 11))
    before = user.curate().splits()
    put(user, range(11, 21), "c_{:02d}", user.folder / "other")
    user.refused(user.pdl, "curate", user.folder / "other", "--out", user.out, saying=["made from another cohort"])
    user.cohort.rename(user.folder / "moved")
    user.refused(user.pdl, "curate", user.folder / "other", "--out", user.out, saying=["made from another cohort"])
    cases = user.curate(cohort=user.folder / "moved")
    expect("splits", before, cases.splits())
    rows = [f"images/c_{n:02d}.nii.gz,labels/c_{n:02d}.nii.gz,p{n}" for n in range(1, 11)]
    (user.folder / "moved" / "own.csv").write_text("\n".join(["image,label,patient", *rows]) + "\n")
    before = user.curate(cohort=user.folder / "moved" / "own.csv", out=user.folder / "of-table").splits()
    (user.folder / "moved").rename(user.folder / "again")
    after = user.curate(cohort=user.folder / "again" / "own.csv", out=user.folder / "of-table")
    expect("splits of the table's cases", before, after.splits())
    return cases.summary()


def files_that_are_replaced_and_removed(user):
    """MONAI Label users: a label is corrected, an image swapped, a case removed; the others stay as they are"""
    put(user, range(1, 13))
    before = user.curate().splits()
    prepared = {row["case_id"]: row["label_blake3"] for row in user.prepared()}
    image, labels, affine = load("ct", 3)
    save(user.cohort / "labels" / "c_03.nii.gz", np.where(labels == 5, 0, labels), affine, np.uint8)
    save(user.cohort / "images" / "c_04.nii.gz", load("ct", 20)[0], load("ct", 20)[2])
    gone = next(case for case, split in before.items() if split == "train" and case not in ("c_03", "c_04"))
    for folder in ("images", "labels"):
        (user.cohort / folder / f"{gone}.nii.gz").unlink()
    cases = user.curate()
    expect("rejected", ["c_04"], cases.rejected)
    stay = {case: split for case, split in before.items() if case not in (gone, "c_04")}
    expect("splits", stay, cases.splits())
    again = {row["case_id"]: row["label_blake3"] for row in user.prepared()}
    expect("cases of which files are left", set(stay), set(again))
    if again["c_03"] == prepared["c_03"]:
        raise Wrong("the label that was corrected is not prepared anew")
    return cases.summary()
