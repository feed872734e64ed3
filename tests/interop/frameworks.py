"""Other frameworks load what `pdl export` makes of a curation folder, and find the prepared voxels and labels.

    python tests/interop/frameworks.py PDL OUT [TARGET...]

PDL is the program. Without targets all are tried. What they need: tests/interop/requirements.txt, and for monai,
nnunet and torchio requirements-torch.txt, too.
Ends with the line 'N passed, 0 failed', or with an error.
"""

import gzip
import json
import pathlib
import subprocess
import sys
import tempfile

import nibabel
import numpy
import pyarrow.parquet


def voxels(path):
    return numpy.asarray(nibabel.load(path).dataobj)


class Manifest:
    def __init__(self, out):
        self.out = out
        rows = pyarrow.parquet.read_table(out / "manifest.parquet").to_pylist()
        self.rows = {row["case_id"]: row for row in rows}
        self.ranked = [row["case_id"] for row in rows if row["rank"]]
        self.val = [row["case_id"] for row in rows if row["split"] == "val"]
        self.test = [row["case_id"] for row in rows if row["split"] == "test"]
        self.info = json.loads((out / "manifest.json").read_text())

    def check(self, case, image, label):
        """image and label are arrays as the framework gave them; the channels are the image's first axis."""
        row = self.rows[case]
        expected = numpy.stack([voxels(self.out / path) for path in row["images"]])
        assert numpy.array_equal(numpy.asarray(image).squeeze(), expected.squeeze()), case
        assert numpy.array_equal(numpy.asarray(label).squeeze(), voxels(self.out / row["label"])), case


def several(folder, item, manifest):
    """The images of a row: the column image, or a column for each channel where there are several."""
    names = manifest.info["channel_names"]
    columns = [f"image_{name}" for name in names] if len(names) > 1 else ["image"]
    return numpy.stack([voxels(folder / item[column]) for column in columns])


def huggingface(manifest, dest):
    import datasets

    loaded = datasets.load_dataset(str(dest), cache_dir=str(dest / "cache"))
    assert loaded["train"]["case_id"][:] == manifest.ranked
    assert sorted(loaded["validation"]["case_id"]) == manifest.val and sorted(loaded["test"]["case_id"]) == manifest.test
    assert loaded["train"]["rank"][:] == list(range(1, len(manifest.ranked) + 1))
    for item in [loaded["train"][0], loaded["test"][-1]]:
        manifest.check(item["case_id"], several(dest, item, manifest), voxels(dest / item["label"]))
    for stage in manifest.info["stages"]:
        active = loaded["train"].filter(lambda item: item["stage"] <= stage["stage"])
        assert len(active) == stage["active_cases"]


def monai(manifest, dest):
    from monai.data import load_decathlon_datalist
    from monai.transforms import LoadImaged

    load = LoadImaged(keys=["image", "label"], image_only=True)
    parts = [("training", manifest.ranked), ("validation", manifest.val), ("testing", manifest.test)]
    for part, expected in parts:
        items = load_decathlon_datalist(str(dest / "datalist.json"), True, part)
        assert [item["case_id"] for item in items] == expected
        for item in [items[0], items[-1]]:
            volume = load(item)
            manifest.check(item["case_id"], volume["image"], volume["label"])
    for stage in manifest.info["stages"]:
        items = load_decathlon_datalist(str(dest / f"datalist-stage-{stage['stage']}.json"), True, "training")
        assert [item["case_id"] for item in items] == manifest.ranked[: stage["active_cases"]]


def torchio(manifest, dest):
    import torchio

    rows = [json.loads(line) for line in (dest / "subjects.jsonl").read_text().splitlines()]
    assert [row["case_id"] for row in rows if row["split"] == "train"] == manifest.ranked
    for row in [rows[0], rows[-1]]:
        paths = row.pop("image")
        paths = [dest / path for path in paths] if isinstance(paths, list) else dest / paths
        image, label = torchio.ScalarImage(paths), torchio.LabelMap(dest / row.pop("label"))
        subject = torchio.Subject(image=image, label=label, **row)
        manifest.check(subject["case_id"], subject["image"].data, subject["label"].data)


def nnunet(manifest, dest):
    from nnunetv2.experiment_planning.verify_dataset_integrity import verify_dataset_integrity
    from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

    verify_dataset_integrity(str(dest), num_processes=1)
    found = get_filenames_of_train_images_and_targets(str(dest))
    assert sorted(found) == sorted(manifest.ranked + manifest.val)
    for case in [min(found), max(found)]:
        images = numpy.stack([voxels(path) for path in found[case]["images"]])
        manifest.check(case, images, voxels(found[case]["label"]))
    folds = json.loads((dest / "splits_final.json").read_text())
    assert [len(fold["train"]) for fold in folds] == [stage["active_cases"] for stage in manifest.info["stages"]]


def webdataset(manifest, dest):
    import webdataset

    labels = manifest.info["labels"]
    for split, expected in [("train", manifest.ranked), ("val", manifest.val), ("test", manifest.test)]:
        shards = [str(path) for path in sorted(dest.glob(f"{split}-*.tar"))]
        samples = list(webdataset.WebDataset(shards, shardshuffle=False))
        assert [sample["__key__"] for sample in samples] == expected
        for sample in [samples[0], samples[-1]]:
            further = [f"image_{name.lower()}" for name in manifest.info["channel_names"][1:]]
            read = lambda what: nibabel.Nifti1Image.from_bytes(gzip.decompress(sample[f"{what}.nii.gz"])).dataobj
            images = numpy.stack([numpy.asarray(read(what)) for what in ["image", *further]])
            manifest.check(sample["__key__"], images, numpy.asarray(read("label")))
            said, row = json.loads(sample["json"]), manifest.rows[sample["__key__"]]
            assert all(said[key] == row[key] for key in ["case_id", "split", "rank", "stage", "score", "tune"])
            assert said["labels"] == labels


def croissant(manifest, dest):
    import mlcroissant

    dataset = mlcroissant.Dataset(jsonld=str(dest / "croissant.json"))
    assert not dataset.metadata.issues.errors, dataset.metadata.issues.errors
    table = dest / dataset.metadata.distribution[0].content_url
    # Text comes as bytes; an absent rank as None or NaN.
    text = lambda value: value.decode() if isinstance(value, bytes) else value
    records = [{key.split("/")[-1]: text(value) for key, value in record.items()} for record in dataset.records("cases")]
    assert [record["case_id"] for record in records] == list(manifest.rows)
    assert [record["rank"] for record in records if record["rank"] == record["rank"] and record["rank"]] == list(
        range(1, len(manifest.ranked) + 1)
    )
    for record in [records[0], records[-1]]:
        row = manifest.rows[record["case_id"]]
        assert all(record[key] == row[key] for key in record if key != "images"), record
        images = numpy.stack([voxels(table.parent / path) for path in row["images"]])
        manifest.check(record["case_id"], images, voxels(table.parent / record["label"]))


def main():
    pdl, out, targets = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3:]
    checks = {"huggingface": huggingface, "webdataset": webdataset, "croissant": croissant}
    checks |= {"monai": monai, "torchio": torchio, "nnunet": nnunet}
    passed = 0
    for target in targets or checks:
        for by in [None] if target == "webdataset" else ["reference", "copy", "link"]:
            flags = ["--shard-cases", "7"] if by is None else ["--by", by]
            with tempfile.TemporaryDirectory(dir=out.parent) as folder:
                dest = pathlib.Path(folder) / "Dataset001_pdl"
                subprocess.run([pdl, "export", out, "--to", target, "--dest", dest, *flags], check=True)
                checks[target](Manifest(out), dest)
                passed += 1
    print(f"{passed} passed, 0 failed")


if __name__ == "__main__":
    main()
