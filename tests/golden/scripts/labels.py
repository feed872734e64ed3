"""Label overlap and label volumes of pairs of the sample cohort by SimpleITK: labels.json.

    pdl curate sample-data/ct --out OUT --metrics ssim,label-dice,label-volume
    python -m pip install --requirement requirements-labels.txt
    python labels.py OUT

Dice is that of LabelOverlapMeasuresImageFilter on the label maps of the proxies, volumes are the physical sizes of
LabelShapeStatisticsImageFilter on the stored label maps; both are averaged over the labels that both stored maps hold.
"""

import json
import pathlib
import sys

import numpy
import pyarrow.parquet
import SimpleITK
from proxies import arrays

COUNT = 20


def volumes(path):
    """label -> mm3 of a stored label map."""
    shapes = SimpleITK.LabelShapeStatisticsImageFilter()
    shapes.Execute(SimpleITK.ReadImage(str(path), SimpleITK.sitkUInt16))
    return {label: shapes.GetPhysicalSize(label) for label in shapes.GetLabels()}


def compare(map_a, map_b, volumes_a, volumes_b):
    labels = sorted(volumes_a.keys() & volumes_b.keys())
    overlap = SimpleITK.LabelOverlapMeasuresImageFilter()
    overlap.Execute(SimpleITK.GetImageFromArray(map_a), SimpleITK.GetImageFromArray(map_b))
    differences = [abs(volumes_a[label] - volumes_b[label]) / (volumes_a[label] + volumes_b[label]) for label in labels]
    return {
        "label_dice": float(numpy.mean([overlap.GetDiceCoefficient(label) for label in labels])),
        "label_volume": float(numpy.mean(differences)),
    }


def main():
    out = pathlib.Path(sys.argv[1])
    maps = arrays(out, "labels")
    rows = pyarrow.parquet.read_table(out / "cases.parquet", columns=["case_id", "label"]).to_pylist()
    stored = {row["case_id"]: volumes(out / row["label"]) for row in rows}
    cases = list(maps)
    pairs = [(a, b) for i, a in enumerate(cases) for b in cases[i + 1 :]]
    chosen = [pairs[i * (len(pairs) - 1) // (COUNT - 1)] for i in range(COUNT)]
    found = [
        {"case_a": a, "case_b": b, **compare(maps[a], maps[b], stored[a], stored[b])} for a, b in chosen
    ]
    text = json.dumps({"versions": {"SimpleITK": SimpleITK.__version__}, "pairs": found}, indent=1)
    (pathlib.Path(__file__).resolve().parents[1] / "data" / "labels.json").write_text(text + "\n")


main()
