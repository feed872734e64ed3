"""A curation folder as tables and arrays."""

import json
import pathlib
import pickle

import duckdb
import nibabel
import numpy
import pandas
import polars
import pyarrow
import pyarrow.parquet
import pytest

import pdl
from conftest import run


def test_tables_are_those_of_the_files(cohort: pdl.Cohort) -> None:
    for table, path in [(cohort.cases, "out/ct/cases.parquet"), (cohort.manifest, "out/ct/manifest.parquet")]:
        stored = pyarrow.parquet.read_table(path)
        assert pyarrow.table(table).equals(stored)
        assert table.column_names == stored.column_names
        assert table.num_rows == len(table) == len(stored)


def test_pandas_polars_and_duckdb_take_them(cohort: pdl.Cohort) -> None:
    pairs = cohort.pairs("ssim")
    assert pairs.column_names == ["a", "b", "case_a", "case_b", "ssim"]
    mean = numpy.mean(pyarrow.table(pairs)["ssim"].to_numpy(), dtype="float64")
    assert polars.DataFrame(pairs)["ssim"].cast(polars.Float64).mean() == pytest.approx(mean, abs=1e-12)
    assert pandas.DataFrame.from_arrow(pairs)["ssim"].astype("float64").mean() == pytest.approx(mean, abs=1e-12)
    [row] = duckdb.sql("select count(*), avg(ssim::double) from pairs").fetchall()
    assert row == (24 * 23 // 2, pytest.approx(mean, abs=1e-12))


def test_a_table_is_handed_over_without_a_copy(cohort: pdl.Cohort) -> None:
    table = cohort.pairs("ssim")
    first, second = (pyarrow.table(table)["ssim"].chunk(0).buffers()[1].address for _ in range(2))
    assert first == second
    # What was handed over outlives the table.
    kept = pyarrow.table(table)
    del table
    assert kept["ssim"].null_count == 0 and 0 < kept["ssim"][0].as_py() <= 1


def test_a_table_that_nobody_takes_is_given_back(cohort: pdl.Cohort) -> None:
    for _ in range(3):
        assert "arrow_array_stream" in repr(cohort.cases.__arrow_c_stream__())
        assert "arrow_schema" in repr(cohort.cases.__arrow_c_schema__())


def test_all_metrics_come_where_none_is_named(cohort: pdl.Cohort) -> None:
    stored = pyarrow.parquet.read_table("out/ct/pairs/00000-00000.parquet")
    assert pyarrow.table(cohort.pairs()).equals(stored)


def test_the_matrix_is_that_of_the_command(cohort: pdl.Cohort) -> None:
    assert run("matrix", "out/ct", "--metric", "uqi", "--to", "uqi.npy").returncode == 0
    matrix = cohort.matrix("uqi")
    numpy.testing.assert_array_equal(matrix, numpy.load("uqi.npy"))
    assert matrix.dtype == numpy.float32 and (matrix == matrix.T).all() and (matrix.diagonal() == 1).all()
    place = {case: row for row, case in enumerate(cohort.case_ids)}
    for pair in pyarrow.table(cohort.pairs("uqi")).to_pylist()[:20]:
        assert matrix[place[pair["case_a"]], place[pair["case_b"]]] == numpy.float32(pair["uqi"])


def test_volumes_are_those_that_nibabel_reads_with_axes_z_y_x(cohort: pdl.Cohort) -> None:
    for case in ("ct_02", "ct_05"):
        image = nibabel.load(f"out/ct/prepared/images/{case}.nii.gz")
        label = nibabel.load(f"out/ct/prepared/labels/{case}.nii.gz")
        assert nibabel.aff2axcodes(image.affine) == ("R", "A", "S")
        numpy.testing.assert_array_equal(cohort.image(case), image.get_fdata(dtype="float32").T)
        numpy.testing.assert_array_equal(cohort.label(case), numpy.asarray(label.dataobj).T)
        assert (cohort.image(case).dtype, cohort.label(case).dtype) == (numpy.float32, numpy.uint16)
        numpy.testing.assert_array_equal(cohort.image(case, channel=0), cohort.image(case))
    for channel in (1, "T1"):
        with pytest.raises(ValueError, match=f"invalid channel: cases have one image, found {channel}"):
            cohort.image("ct_02", channel)


def test_findings_are_those_of_all_stages(cohort: pdl.Cohort) -> None:
    found = pyarrow.table(cohort.findings).to_pylist()
    audit = json.loads(pathlib.Path("out/ct/audit.json").read_text())["findings"]
    of_audit = [finding for finding in found if finding["stage"] == "audit"]
    assert [(finding["code"], finding["message"]) for finding in of_audit] == [
        (finding["code"], finding["message"]) for finding in audit
    ]
    small = [finding for finding in found if finding["code"] == "small-split"]
    assert small and all(finding["severity"] == "warning" and finding["case_id"] is None for finding in small)


def test_a_rejected_case_is_explained(tmp_path: pathlib.Path) -> None:
    cohort = tmp_path / "cohort"
    (cohort / "images").mkdir(parents=True)
    (cohort / "labels").mkdir()
    for name in ("a", "b", "c"):
        voxels = numpy.random.default_rng(len(name)).random((16, 16, 16), dtype="float32")
        nibabel.save(nibabel.Nifti1Image(voxels, numpy.eye(4)), cohort / "images" / f"{name}.nii")
        nibabel.save(nibabel.Nifti1Image((voxels > 0.5).astype("uint8"), numpy.eye(4)), cohort / "labels" / f"{name}.nii")
    damaged = cohort / "images" / "b.nii"
    damaged.write_bytes(damaged.read_bytes()[:1000])
    run("curate", str(cohort), "--out", str(tmp_path / "out"), "--modality", "mr", "--no-report")
    opened = pdl.open(tmp_path / "out")
    rejected = [row for row in pyarrow.table(opened.findings).to_pylist() if row["severity"] == "rejection"]
    assert [(row["stage"], row["case_id"]) for row in rejected] == [("index", "b")]
    with pytest.raises(pdl.Error, match="case 'b' was rejected"):
        opened.image("b")


def test_a_notebook_shows_the_summary_and_pictures(cohort: pdl.Cohort) -> None:
    html = cohort._repr_html_()
    assert "24 CT usable of 20 patients" in html
    assert html.count("data:image/jpeg;base64,") == html.count("data:image/png;base64,") == 1
    assert html.index("ct_02") < html.index("ct_01")  # the order of the curriculum
    assert "<script" not in html and "http" not in html


def test_cohorts_go_to_other_processes(cohort: pdl.Cohort, curriculum: pdl.Curriculum) -> None:
    again = pickle.loads(pickle.dumps(cohort))
    assert repr(again) == repr(cohort) == 'Cohort("out/ct")'
    assert pickle.loads(pickle.dumps(curriculum)).cases == curriculum.cases
