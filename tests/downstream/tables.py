"""Tables and descriptions as people's programs write them: spreadsheets, pandas, R, Windows."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trees import CT_LABELS, load, save, save_json
from user import Wrong, expect


def volumes(user, count=8, folders=("images", "labels")):
    """Images and label maps, and their rows: image, label, patient."""
    rows = []
    for n in range(1, count + 1):
        image, labels, affine = load("ct", n)
        paths = [f"{folder}/c_{n:02d}.nii.gz" for folder in folders]
        save(user.cohort / paths[0], image, affine)
        save(user.cohort / paths[1], labels, affine, np.uint8)
        rows.append((*paths, f"p{(n + 1) // 2}"))
    return rows


def text(rows, head="image,label,patient", separator=","):
    return "".join(separator.join(row) + "\n" for row in [head.split(separator), *rows])


def spreadsheets(user):
    """Loris 604 and 610, tf-crnn 18, MONAI 2059: Excel's encodings, `sep=`, blank rows, capitals, paths of Windows"""
    rows = volumes(user, folders=("a", "b"))
    plain = text(rows)
    windows = [(image.replace("/", "\\"), label.replace("/", "\\"), patient) for image, label, patient in rows]
    written = {
        "bom": b"\xef\xbb\xbf" + plain.replace("\n", "\r\n").encode(),
        "utf16": text(rows, "image\tlabel\tpatient", "\t").encode("utf-16"),
        "stated": ("sep=;\r\n" + text(rows, "image;label;patient", ";")).encode(),
        "blank": (plain + ",,\n,,\n\n").encode(),
        "capitals": text(rows, "Image, Label ,Patient").encode(),
        "backslashes": text(windows).encode(),
    }
    for name, content in written.items():
        (user.cohort / f"{name}.csv").write_bytes(content)
        cases = user.curate(cohort=user.cohort / f"{name}.csv", out=user.folder / name)
        expect(f"cases and patients of {name}", (8, 4), (len(cases.usable), len(cases.patients)))
    (user.cohort / "latin.csv").write_bytes(plain.replace("p1", "Jörg").encode("cp1252"))
    user.refused(user.pdl, "curate", user.cohort / "latin.csv", "--out", user.out, saying=["is not UTF-8", "CSV UTF-8"])
    return cases.summary()


def missing_cells(user):
    """ivadomed 796, pandas: cells that mean a missing value, and patients that became fractions for want of one"""
    rows = volumes(user, folders=("a", "b"))
    rows = [(image, label, f"{(n + 2) // 2}.0" if n % 2 else str((n + 2) // 2)) for n, (image, label, _) in enumerate(rows)]
    for n, word in enumerate(("nan", "NaN", "NA", "n/a")):
        rows[4 + n] = (rows[4 + n][0], rows[4 + n][1] if n else word, word)
    (user.cohort / "cohort.csv").write_text(text(rows))
    cases = user.curate()
    expect("labelled", 7, len(cases.usable))
    expect("patients", {"1", "2", "c_05", "c_06", "c_07", "c_08"}, cases.patients)
    cases.says("no-label", "patient-assumed")
    return cases.summary()


def table_of_pandas(user):
    """pandas to_parquet: patients are numbers, splits a category, and the table lies in the folder of the cohort"""
    rows = volumes(user)
    table = {
        "image": [row[0] for row in rows],
        "label": pa.array([row[1] for row in rows], pa.large_string()),
        "patient": pa.array([1, 1, 2, 2, 3, 4, 5, 6], pa.int64()),
        "split": pa.array(["train"] * 5 + ["val"] + ["test"] * 2).dictionary_encode(),
        "__index_level_0__": list(range(8)),
    }
    pq.write_table(pa.table(table), user.cohort / "cohort.parquet")
    cases = user.init_and_curate()
    expect("patients", {"1", "2", "3", "4", "5", "6"}, cases.patients)
    expect("splits", ["train"] * 5 + ["val"] + ["test"] * 2, list(cases.splits().values()))
    return cases.summary()


def files_beside_the_images(user):
    """nnUNet 1504, UMIE, Kaggle: lists of splits and clinical tables beside the images, which state what is not read"""
    volumes(user)
    save_json(user.cohort / "split.json", {"train": ["c_01"], "test": ["c_02"]})
    (user.cohort / "clinical.csv").write_text("id,patient\nc_01,p1\n")
    cases = user.init_and_curate()
    cases.says("files-unused")
    told = next(finding["message"] for finding in cases.findings if finding["code"] == "files-unused")
    if "clinical.csv, split.json" not in told:
        raise Wrong(f"it does not name the files: {told}")
    return cases.summary()


def descriptions_of_other_programs(user):
    """nnUNet 946, 1624, 2500: dataset.json with a mark of its encoding, values as texts, and more channels than files"""
    volumes(user, folders=("imagesTr", "labelsTr"))
    names = {"background": "0", **{name: str(value) for value, name in CT_LABELS.items()}}
    content = '{"channel_names": {"0": "T1", "1": "FLAIR"}, "labels": ' + str(names).replace("'", '"') + "}"
    (user.cohort / "dataset.json").write_bytes(b"\xef\xbb\xbf" + content.encode())
    cases = user.init_and_curate()
    expect("names", CT_LABELS, cases.names)
    cases.says("channels-unknown")
    return cases.summary()
