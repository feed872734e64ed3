"""The proxies of a curation folder as arrays: what the golden scripts give to other people's programs."""

import json

import pyarrow


def arrays(out, column):
    """case_id -> array (z, y, x) of a column, `voxels` or `labels`, in row order."""
    found = {}
    for path in sorted((out / "proxies").glob("*.arrow")):
        with pyarrow.memory_map(str(path)) as source:
            reader = pyarrow.ipc.open_file(source)
            shape = json.loads(reader.schema.metadata[b"shape"])
            for number in range(reader.num_record_batches):
                batch = reader.get_batch(number)
                values = batch.column(column).flatten().to_numpy().reshape(-1, *shape)
                for case, array in zip(batch.column("case_id").to_pylist(), values):
                    found[case] = array.copy()
    return found
