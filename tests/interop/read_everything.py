"""DuckDB, Polars and pyarrow read every table of the given curation folders; jsonschema checks every JSON file.

    python tests/interop/read_everything.py OUT...

Ends with the line 'N passed, 0 failed', or with an error.
"""

import json
import pathlib
import sys

import duckdb
import jsonschema
import polars
import pyarrow.dataset
import pyarrow.ipc
import pyarrow.parquet

ROOT = pathlib.Path(__file__).resolve().parents[2]
JSON_SCHEMAS = {
    "audit.json": "audit",
    "fingerprint.json": "fingerprint",
    "plan.json": "plan",
    "manifest.json": "manifest-info",
    "manifest.jsonl": "manifest",
    "failures.json": "failures",
    "run.json": "run",
    "postprocessing.json": "postprocessing",
    "tuning.json": "tuning",
    "comparison.json": "comparison-info",
    "subsets.json": "subsets-info",
    "runs.jsonl": "experiment-rows",
}


def check_tables(out):
    checked = 0
    for path in sorted(out.rglob("*.parquet")):
        table = pyarrow.parquet.read_table(path)
        rows = duckdb.sql(f"select count(*) from read_parquet('{path}')").fetchall()[0][0]
        assert rows == table.num_rows, path
        assert duckdb.sql(f"select * from read_parquet('{path}')").fetchall() is not None, path
        checked += 1
    for path in sorted((out / "proxies").glob("*.arrow")):
        with pyarrow.memory_map(str(path)) as source:
            reader = pyarrow.ipc.open_file(source)
            table = reader.read_all()
            shape = json.loads(reader.schema.metadata[b"shape"])
        voxels = shape[0] * shape[1] * shape[2]
        assert table.schema.field("voxels").type == pyarrow.list_(pyarrow.field("item", pyarrow.float32(), False), voxels)
        assert len(table.column("voxels").chunk(0).flatten()) > 0
        checked += 1
    return checked


def check_json(out):
    checked = 0
    for path in sorted(out.rglob("*.json*")):
        if ".pdl" in path.parts:
            continue
        schema = json.loads((ROOT / "schemas" / f"{JSON_SCHEMAS[path.name]}.schema.json").read_text())
        text = path.read_text()
        values = [json.loads(line) for line in text.splitlines()] if path.suffix == ".jsonl" else [json.loads(text)]
        for value in values:
            jsonschema.validate(value, schema)
        checked += 1
    return checked


def check_answers(out):
    """The question that README.md answers in one line each: which cases are most similar to X?"""
    pairs, manifest = f"{out}/pairs/*.parquet", f"{out}/manifest.parquet"
    case = duckdb.sql(f"select case_id from '{manifest}' where rank = 1").fetchall()[0][0]
    nearest = duckdb.sql(
        f"select if(case_a = '{case}', case_b, case_a), ssim from '{pairs}' "
        f"where '{case}' in (case_a, case_b) order by ssim desc limit 5"
    ).fetchall()
    assert len(nearest) == 5 and all(other != case for other, _ in nearest)
    of_polars = polars.scan_parquet(pairs).filter((polars.col("case_a") == case) | (polars.col("case_b") == case)).sort("ssim", descending=True).head(5).collect()
    either = (pyarrow.dataset.field("case_a") == case) | (pyarrow.dataset.field("case_b") == case)
    of_pyarrow = pyarrow.dataset.dataset(f"{out}/pairs").to_table(filter=either).sort_by([("ssim", "descending")]).slice(0, 5)
    for rows in (of_polars.to_dicts(), of_pyarrow.to_pylist()):
        assert [row["case_b"] if row["case_a"] == case else row["case_a"] for row in rows] == [other for other, _ in nearest]
    cases = duckdb.sql(f"select count(*) from '{out}/prepared.parquet'").fetchall()[0][0]
    distinct = duckdb.sql(f"select count(distinct (a, b)), count(*) from '{pairs}' where a < b").fetchall()[0]
    assert distinct == (cases * (cases - 1) // 2,) * 2
    splits = duckdb.sql(f"select max(n) from (select count(distinct split) n from '{manifest}' group by patient_id)")
    assert splits.fetchall()[0][0] == 1, "a patient is in two splits"
    return 5


def main():
    passed = 0
    for folder in sys.argv[1:]:
        out = pathlib.Path(folder)
        passed += check_tables(out) + check_json(out) + check_answers(out)
    print(f"{passed} passed, 0 failed")


if __name__ == "__main__":
    main()
