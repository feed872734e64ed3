"""nnU-Net v2's own normalisation and resampling against `pdl prepare --resample nnunet`, whole volumes of real cases.

    python tests/golden/scripts/nnunet.py PDL DATA SCRATCH     (packages: tests/interop/requirements*.txt)

DATA holds hippocampus-mr and head-neck-ct; 10 cases of each are prepared, once with all axes alike and once with thick
slices. Both sides normalise, then resample, the whole image: nnU-Net's crop to non-zero is left out, as pdl has none;
the clip and mean of CT are those of pdl's plan. Shapes must be equal, images within 1e-3 of the intensity range at 99.9%
of voxels, and labels have a Dice of 0.999 or more. Writes tests/golden/data/nnunet.json for crates/pdl-prepare/tests/nnunet.rs:
shape, voxels per label, and samples of nnU-Net's resampling of the images in their own units.
"""

import csv
import importlib.metadata
import json
import pathlib
import subprocess
import sys

import nibabel
import numpy
from nnunetv2.preprocessing.normalization.default_normalization_schemes import CTNormalization, ZScoreNormalization
from nnunetv2.preprocessing.resampling.default_resampling import compute_new_shape, resample_data_or_seg_to_shape

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "data" / "nnunet.json"
CASES, SAMPLES = 10, 200
SETS = [
    ("hippocampus-mr", [0.8, 1.3, 0.9]),
    ("hippocampus-mr", [0.9, 0.9, 3.1]),
    ("head-neck-ct", [3.3, 3.3, 2.2]),
    ("head-neck-ct", [3.5, 3.5, 12.0]),
]


def load(path):
    image = nibabel.as_closest_canonical(nibabel.load(path))
    return numpy.asarray(image.dataobj), [float(v) for v in numpy.linalg.norm(image.affine[:3, :3], axis=0)]


def resampled(voxels, old, new, seg):
    shape = compute_new_shape(voxels.shape, old, new)
    how = {"order": 1 if seg else 3, "order_z": 0, "force_separate_z": None}
    return resample_data_or_seg_to_shape(voxels[None], shape, old, new, is_seg=seg, **how)[0]


def dice(a, b, label):
    return 2.0 * ((a == label) & (b == label)).sum() / max((a == label).sum() + (b == label).sum(), 1)


def main(pdl, data, scratch):
    golden = []
    for number, (name, spacing) in enumerate(SETS):
        source, out = data / name, scratch / f"{number}"
        rows = list(csv.DictReader(open(source / "cohort.csv")))[:CASES]
        cohort = scratch / f"{number}.csv"
        with open(cohort, "w") as file:
            file.write("case_id,image,label,modality\n")
            for row in rows:
                case = row["image"].split("/")[-1].split(".")[0]
                file.write(f"{case},{source / row['image']},{source / row['label']},{row['modality']}\n")
        subprocess.run([pdl, "index", cohort, "--out", out], check=True, stdout=subprocess.DEVNULL)
        flags = ["--resample", "nnunet", "--spacing", ",".join(str(v) for v in spacing)]
        subprocess.run([pdl, "prepare", out, *flags], check=True, stdout=subprocess.DEVNULL)
        scheme = json.load(open(out / "plan.json"))["normalisation"]
        worst_share, worst_dice, cases = 1.0, 1.0, []
        for row in rows:
            case = row["image"].split("/")[-1].split(".")[0]
            (image, old), (labels, _) = load(source / row["image"]), load(source / row["label"])
            image = image.astype(numpy.float32)
            if scheme["scheme"] == "cohort_foreground":
                facts = {"mean": scheme["mean"], "std": scheme["std"]}
                facts |= {"percentile_00_5": scheme["low"], "percentile_99_5": scheme["high"]}
                normalised = CTNormalization(False, facts).run(image.copy())
            else:
                inside = numpy.where(image != 0, 0, -1) if scheme["nonzero_mask"] else None
                normalised = ZScoreNormalization(scheme["nonzero_mask"], {}).run(image.copy(), inside)
            theirs = resampled(normalised, old, spacing, False)
            their_labels = resampled(labels.astype(numpy.int16), old, spacing, True)
            ours, _ = load(out / f"prepared/images/{case}.nii.gz")
            our_labels, _ = load(out / f"prepared/labels/{case}.nii.gz")
            assert ours.shape == theirs.shape == our_labels.shape == their_labels.shape, (case, ours.shape, theirs.shape)
            near = numpy.abs(ours - theirs) <= 1e-3 * (theirs.max() - theirs.min())
            worst_share = min(worst_share, near.mean())
            values = [int(v) for v in numpy.unique(their_labels) if v > 0]
            worst_dice = min([worst_dice] + [dice(ours_, their_labels, v) for ours_ in [our_labels] for v in values])
            plain = resampled(image, old, spacing, False)
            places = numpy.linspace(0, plain.size - 1, SAMPLES).astype(int)
            cases.append({
                "case": case,
                "shape": list(plain.shape),
                "range": [float(image.min()), float(image.max())],
                "samples": [float(f"{v:.7g}") for v in plain.flatten(order="F")[places]],
                "labels": {str(v): int((their_labels == v).sum()) for v in values},
            })
        print(f"{name} at {spacing} mm: {len(rows)} cases, shapes equal; in the worst case {100 * worst_share:.4f}% of the "
              f"voxels within 1e-3 of the range, label Dice {worst_dice:.6f}")
        assert worst_share >= 0.999 and worst_dice >= 0.999
        golden.append({"set": name, "spacing_mm": spacing, "cases": cases})
    names = ["nnunetv2", "batchgenerators", "scikit-image", "scipy", "numpy"]
    versions = {name: importlib.metadata.version(name) for name in names}
    GOLDEN.write_text(json.dumps({"versions": versions, "sets": golden}) + "\n")


main(sys.argv[1], pathlib.Path(sys.argv[2]).resolve(), pathlib.Path(sys.argv[3]).resolve())
