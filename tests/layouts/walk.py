#!/usr/bin/env python3
"""Go the way of a user through each layout of trees.py: init, curate, train (30 steps), predict, evaluate.

usage: walk.py PDL PDL_FIT [--only NAME,NAME]     without --only all layouts; outcomes must be those of
                                                  outcomes.tsv (PDL_UPDATE_OUTCOMES=1 writes that file anew)

What `pdl init` leaves is used as it stands: `pdl curate` gets the cohort that init names, and no flags but those that make it
quick. An outcome is wrong where cases, patients, labels, splits or channels are not those of the layout, or a step fails.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import nibabel as nib
import numpy as np
import pyarrow.parquet as pq

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import outcomes  # noqa: E402
import trees  # noqa: E402
from outcomes import Wrong  # noqa: E402

QUICK = ["--no-report", "--metrics", "ssim"]
STEPS = ["--steps", "30", "--batch", "2", "--patch", "32,32", "--width", "8", "--depth", "2", "--threads", "1"]
NAMED = ["--no-report", "--name", "walk"]


def run(*words, codes=(0,)):
    words = [str(word) for word in words]
    done = subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=300)
    if done.returncode not in codes:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise Wrong(f"{Path(words[0]).name} {words[1]} ended with {done.returncode}: {' | '.join(said[-3:])}")
    return done.stdout


def expect(what, right, found):
    if right != found:
        raise Wrong(f"{what}: expected {right}, found {found}")


def curated(expected, out):
    """What the table says, held against what is right; the outcome in words."""
    rows = pq.read_table(out / "cases.parquet").to_pylist()
    metadata = pq.read_metadata(out / "cases.parquet").metadata
    usable = [row for row in rows if row["status"] != "rejected"]
    if len(usable) != expected["cases"]:
        causes = Counter(finding["message"] for row in rows if row["status"] == "rejected" for finding in row["findings"])
        raise Wrong(f"{len(usable)} of {len(rows)} cases are usable, not {expected['cases']}: {causes.most_common(2)}")
    expect("rejected", expected.get("rejected", 0), len(rows) - len(usable))
    patients = len({row["patient_id"] for row in usable})
    expect("patients", expected.get("patients", patients), patients)
    names = {int(k): v for k, v in json.loads(metadata.get(b"pdl.label_names", b"{}")).items()}
    present = sorted({label["value"] for row in usable for label in row["labels"]})
    if "labels" in expected:
        expect("labels", sorted(expected["labels"]), sorted(names.get(value, str(value)) for value in present))
    for case, split in expected.get("split", {}).items():
        expect(f"split of {case}", split, next(row["split"] for row in usable if row["case_id"] == case))
    if "voxels" in expected:
        expect("voxels", expected["voxels"], sorted(row["labels"][0]["voxels"] for row in usable))
    if "voxels3" in expected:
        counts = [label["voxels"] for row in usable for label in row["labels"] if label["value"] == 3]
        expect("voxels of label 3", expected["voxels3"], sorted(counts))
    if "overlap" in expected:
        where(expected["overlap"], usable, out)
    codes = {finding["code"] for row in rows for finding in row["findings"]}
    codes |= {finding["code"] for finding in json.loads(metadata.get(b"pdl.findings", b"[]"))}
    missing = set(expected.get("codes", [])) - codes
    if missing:
        raise Wrong(f"it does not say {', '.join(sorted(missing))}: {', '.join(sorted(codes))}")
    parts = Counter(row["split"] for row in usable)
    splits = "/".join(str(parts.get(part, 0)) for part in ("train", "val", "test"))
    labels = ", ".join(f"{value} {names[value]}" if value in names else str(value) for value in present)
    return f"{len(usable)} of {len(rows)} usable, {patients} patients, {splits}; labels {labels}; {', '.join(sorted(codes))}"


def where(sample, usable, out):
    """Images with their labels are those of the samples, voxel by voxel."""
    modality, label = sample
    wanted = {}
    for number in range(1, trees.COUNT + 1):
        image, labels, affine = trees.load(modality, number)
        image = nib.as_closest_canonical(nib.Nifti1Image(image, affine)).get_fdata()
        labels = nib.as_closest_canonical(nib.Nifti1Image((labels == label).astype(np.uint8), affine)).get_fdata()
        wanted[(image.shape, image.sum())] = labels
    for row in usable:
        image = nib.as_closest_canonical(nib.load(out / row["image"])).get_fdata()
        labels = nib.as_closest_canonical(nib.load(out / row["label"])).get_fdata()
        value = label if len(row["labels"]) > 1 else row["labels"][0]["value"]
        right = wanted.get((image.shape, image.sum()))
        if right is None or not np.array_equal(right > 0, labels == value):
            raise Wrong(f"{row['case_id']}: its labels lie elsewhere than in the sample")


def of_case(out, image):
    """The files of all channels of the case that has this image."""
    for row in pq.read_table(out / "cases.parquet", columns=["channels"]).to_pylist():
        files = [(out / channel["image"].split("#")[0]).resolve() for channel in row["channels"]]
        if image.resolve() in files:
            return sorted(set(files))
    return [image]


def outcome(pdl, fit, layout):
    with tempfile.TemporaryDirectory() as folder:
        root, out = Path(folder) / "cohort", Path(folder) / "out"
        expected = trees.make(layout, root)
        cohort = root / expected.get("cohort", "")
        made = json.loads(run(pdl, "init", cohort, "--out", out, "--json"))
        run(pdl, "curate", made["cohort"], "--out", out, *QUICK)
        told = f"{made['layout']}: {curated(expected, out)}"
        run(fit, "train", out, *STEPS, *NAMED)
        images = of_case(out, root / expected["image"])
        run(fit, "predict", out / "runs" / "walk", *images, "--out", Path(folder) / "predicted")
        predicted = list((Path(folder) / "predicted").glob("*.nii.gz"))
        expect("label maps", 1, len(predicted))
        run(fit, "evaluate", out / "runs" / "walk")
        return told


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("pdl", type=Path)
    parser.add_argument("fit", type=Path)
    parser.add_argument("--only", default="", help="names of layouts, separated by commas")
    args = parser.parse_args()
    chosen = [name for name in args.only.split(",") if name]
    layouts = [layout for layout in trees.LAYOUTS if not chosen or layout.__name__ in chosen]
    if len(layouts) < len(chosen):
        parser.error(f"--only: the layouts are {', '.join(layout.__name__ for layout in trees.LAYOUTS)}")
    known = {layout.__name__: layout for layout in layouts}
    judged = lambda name: outcome(args.pdl.resolve(), args.fit.resolve(), known[name])  # noqa: E731
    with tempfile.TemporaryDirectory() as configuration:
        os.environ["XDG_CONFIG_HOME"] = configuration
        outcomes.hold(HERE / "outcomes.tsv", known, judged, whole=not chosen)


if __name__ == "__main__":
    main()
