"""The curriculum is the manifest's."""

import json
import pathlib

import pyarrow.parquet
import pytest

import pdl


def test_cases_join_as_the_manifest_says(curriculum: pdl.Curriculum) -> None:
    stages = json.loads(pathlib.Path("out/ct/manifest.json").read_text())["stages"]
    rows = pyarrow.parquet.read_table("out/ct/manifest.parquet").to_pylist()
    assert curriculum.stages == stages
    for epoch in range(60):
        stage = max(stage["stage"] for stage in stages if stage["first_epoch"] <= epoch)
        expected = [row["case_id"] for row in rows if row["rank"] and row["stage"] <= stage]
        assert curriculum.active(epoch) == expected
    assert curriculum.cases == curriculum.active(1000)
    assert len(curriculum) == 18
    with pytest.raises(ValueError, match="invalid epoch: expected 0 or more, found -1"):
        curriculum.active(-1)


def test_files_are_those_of_the_splits(curriculum: pdl.Curriculum) -> None:
    rows = pyarrow.parquet.read_table("out/ct/manifest.parquet").to_pylist()
    for split in ("train", "val", "test"):
        files = curriculum.files(split)
        assert [file["case_id"] for file in files] == [row["case_id"] for row in rows if row["split"] == split]
        for file in files:
            assert isinstance(file["image"], str)
            assert pathlib.Path(file["image"]).is_file() and pathlib.Path(file["label"]).is_file()
    with pytest.raises(ValueError, match="expected train, val or test, found 'all'"):
        curriculum.files("all")  # pyright: ignore[reportArgumentType]


def test_a_fold_has_a_curriculum_of_its_own(curriculum: pdl.Curriculum) -> None:
    folds = [pdl.Curriculum(f"out/ct/folds/{fold}") for fold in range(3)]
    held_out = [{file["case_id"] for file in fold.files("val")} for fold in folds]
    assert not held_out[0] & held_out[1] and not held_out[0] & held_out[2]
    for fold, out in zip(folds, held_out):
        assert set(fold.cases) == set().union(*held_out) - out
        assert all(
            pathlib.Path(file["image"]).is_file()  # pyright: ignore[reportArgumentType]
            for file in fold.files()
        )
