#!/usr/bin/env python3
"""Make each case of cases.toml, run `pdl index` on it and hold the outcome to what is right, voxel by voxel.

usage: judge.py PDL [CASE ...]      with no CASE all of them, whose outcomes must be those of outcomes.tsv
                                    (PDL_UPDATE_OUTCOMES=1 writes that file anew)

A case is cases/NAME.py, which writes data/ and, where a volume can be stated, expected.npz into the folder it is given:
NAME/image (z, y, x), NAME/affine (RAS+, voxel x, y, z to mm), NAME/label/STRUCTURE (z, y, x). cases.toml says of each:
`report`, `right`, `judge` (by whose judgement); `flags` of pdl index (`--csv`: the cohort is data/cohort.csv);
`unlabelled`, volumes that no label refers to, which are cases without a label; `refusable`, volumes that may be refused
with the cause; `others`, labels that are not judged; `must`, a pattern that one of the finding codes (or one of the
words rejected and unlabelled) matches. Labels of volumes that no file names go by their value.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import nibabel as nib
import numpy as np
import pyarrow.parquet as pq

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import outcomes  # noqa: E402
from outcomes import Wrong  # noqa: E402

EXIT_CODES = (0, 1, 3)  # done, no case is usable, cases rejected


def canonical(volume_xyz, affine):
    image = nib.as_closest_canonical(nib.Nifti1Image(volume_xyz, affine))
    return np.asarray(image.dataobj), image.affine


def image_faults(expected, name, path):
    stored = nib.load(path)
    found, affine = canonical(np.asarray(stored.dataobj, dtype=np.float64), stored.affine)
    if f"{name}/image" not in expected.files:
        return []
    wanted, where = canonical(expected[f"{name}/image"].transpose(2, 1, 0).astype(np.float64), expected[f"{name}/affine"])
    if found.shape != wanted.shape:
        return [f"image is {found.shape}, expected {wanted.shape}"]
    faults = []
    difference, moved = np.abs(found - wanted).max(), np.abs(affine - where).max()
    if difference > 1e-5 * np.abs(wanted).max() + 0.01:
        faults.append(f"image differs by {difference:.4g}")
    if moved > 1e-3:
        faults.append(f"affine differs by {moved:.2g}")
    return faults


def label_faults(expected, name, path, names, others):
    wanted = {k.split("/", 2)[2]: k for k in expected.files if k.startswith(f"{name}/label/")}
    if path is None or not path.exists():
        return ["no label map"] if wanted else []
    stored = nib.load(path)
    found, _ = canonical(np.asarray(stored.dataobj), stored.affine)
    faults = []
    for value in sorted(set(np.unique(found).tolist()) - {0}):
        label = names.get(value, str(value))
        if label not in [*wanted, *others]:
            faults.append(f"a label that is not the case's: {label}, {int((found == value).sum())} voxels")
    for structure, key in wanted.items():
        mask, _ = canonical(expected[key].astype(np.uint8).transpose(2, 1, 0), expected[f"{name}/affine"])
        number = int(structure) if structure.isdigit() else None
        value = next((v for v, n in names.items() if n == structure), number)
        if value is None:
            faults.append(f"no label named {structure}")
        elif found.shape != mask.shape:
            faults.append(f"{structure}: shape {found.shape}")
        elif missing_or_extra := int(((found == value) != (mask > 0)).sum()):
            faults.append(f"{structure}: {missing_or_extra} voxels differ of {int(mask.sum())}")
    return faults


def volume_faults(expected, case, rows, out, names):
    """Each expected volume takes the row that fits it best; rows that are left must have no label."""
    faults, left = [], list(rows)
    volumes = sorted({k.split("/")[0] for k in expected.files if k.endswith("/affine")})
    for name in sorted(volumes, key=lambda n: n in case.get("refusable", [])):
        if name in case.get("unlabelled", []):
            continue
        tried = []
        for row in left:
            label = out / row["label"] if row.get("label") else None
            found = image_faults(expected, name, out / row["image"])
            found += label_faults(expected, name, label, names, case.get("others", []))
            tried.append((found, row))
        best, row = min(tried, key=lambda t: (len(t[0]), any("image is" in f for f in t[0])), default=(["no volume"], None))
        if best and name in case.get("refusable", []):
            continue
        faults += [f"{name}: {fault}" for fault in best]
        if row:
            left.remove(row)
    return faults + [f"a case too many: {row['case_id']}" for row in left if row.get("label")]


def index(pdl, case, work):
    """The finished `pdl index` and its OUT."""
    flags, data, out = case.get("flags", []), work / "data", work / "out"
    cohort = data / "cohort.csv" if "--csv" in flags else data
    volumes = any((data / name).exists() for name in ("cohort.csv", "images", "imagesTr"))
    flags = [flag for flag in flags if flag != "--csv"] + ([] if volumes else ["--keep-ids"])
    command = [pdl, "index", cohort, "--out", out, *flags]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=120), out


def outcome(pdl, name, case):
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        environment = {**os.environ, "PYTHONPATH": str(HERE)}
        subprocess.run([sys.executable, "-B", HERE / "cases" / f"{name}.py", work], check=True, capture_output=True, env=environment)
        run, out = index(pdl, case, work)
        if run.returncode not in EXIT_CODES:
            raise Wrong(f"exit code {run.returncode}: {run.stderr[-300:]}")
        if "\x1b" in run.stdout + run.stderr:
            raise Wrong("an escape character reaches the terminal")
        if not (out / "cases.parquet").exists():
            raise Wrong(f"no table: {run.stderr.strip().splitlines()[-1]}")
        rows = pq.read_table(out / "cases.parquet").to_pylist()
        metadata = pq.read_metadata(out / "cases.parquet").metadata
        names = {int(value): label for value, label in json.loads(metadata.get(b"pdl.label_names", b"{}")).items()}
        codes = {f["code"] for row in rows for f in row["findings"]}
        codes |= {f["code"] for f in json.loads(metadata.get(b"pdl.findings", b"[]"))}
        usable = [row for row in rows if row["status"] != "rejected"]
        unlabelled = any(row["status"] == "unlabelled" for row in rows)
        told = ["rejected"] * (len(usable) < len(rows)) + ["unlabelled"] * unlabelled + sorted(codes)
        if "must" in case and not any(re.search(case["must"], word) for word in told):
            raise Wrong(f"says none of {case['must']}: {', '.join(told)}")
        if (work / "expected.npz").exists():
            imported = [row for row in usable if (out / row["image"]).exists()]
            if faults := volume_faults(np.load(work / "expected.npz"), case, imported, out, names):
                raise Wrong("; ".join(faults))
        return f"{len(usable)} of {len(rows)} usable: {', '.join(told)}"


def main():
    pdl, *chosen = sys.argv[1:]
    cases = tomllib.loads((HERE / "cases.toml").read_text())
    judged = lambda name: outcome(Path(pdl).resolve(), name, cases[name])  # noqa: E731
    outcomes.hold(HERE / "outcomes.tsv", chosen or cases, judged, whole=not chosen)


if __name__ == "__main__":
    main()
