"""The table of a cohort, as pyarrow writes it under each of its compressions: tables/*.parquet.

    python -m pip install pyarrow && python tests/golden/scripts/tables.py

Paths are those of the sample cohort `sample-data/ct`, in whose folder a test puts the tables.
"""

from pathlib import Path

import pyarrow
import pyarrow.csv
import pyarrow.parquet

ROOT = Path(__file__).resolve().parents[3]
TABLES = ROOT / "tests" / "golden" / "data" / "tables"

columns = ["image", "label", "patient"]
whole = pyarrow.csv.read_csv(ROOT / "sample-data" / "ct" / "cohort.csv").select(columns).slice(0, 6)
TABLES.mkdir(exist_ok=True)
for compression in ["none", "snappy", "gzip", "brotli", "lz4", "zstd"]:
    for version in ["1.0", "2.0"]:
        pyarrow.parquet.write_table(
            whole, TABLES / f"{compression}-{version}.parquet", compression=compression, data_page_version=version
        )
# What pandas makes of texts that repeat, and of many.
categories = whole.set_column(2, "patient", whole["patient"].dictionary_encode())
pyarrow.parquet.write_table(categories, TABLES / "categories.parquet")
large = whole.cast(pyarrow.schema([(name, pyarrow.large_string()) for name in columns]))
pyarrow.parquet.write_table(large, TABLES / "large.parquet")
