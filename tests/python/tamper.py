"""tamper.py ARCHIVE delete|alter|add [SKIP]: changes one row of a file of readings, as a careless or malicious hand would.

Everything else stays: other rows, schema, metadata, compression. Prints what was changed.
"""

import json
import sys

import pyarrow as pa
import pyarrow.parquet as pq

import archive

root, act = sys.argv[1:3]
paths = archive.files(root, "readings")
path = max(paths, key=lambda path: pq.read_metadata(path).num_rows)
table = pq.ParquetFile(path).read()
middle = table.num_rows // 2
before, row, after = table.slice(0, middle), table.slice(middle, 1), table.slice(middle + 1)
kept = row.to_pylist()[0]
if act == "delete":
    changed = pa.concat_tables([before, after])
elif act == "add":
    changed = pa.concat_tables([before, row, row, after])
elif act == "alter":
    columns = {}
    for name in ["value", "raw_value"]:
        index = row.schema.get_field_index(name)
        value = (row.column(name)[0].as_py() or 0.0) + 1e-9 + 1.0
        row = row.set_column(index, row.schema.field(index), pa.array([value], pa.float64()))
    changed = pa.concat_tables([before, row, after])
else:
    sys.exit(f"no such act: {act}")
pq.write_table(changed, path, compression="zstd")
json.dump(
    {
        "path": path,
        "rows": changed.num_rows,
        "signal": kept["signal"],
        "hour": kept["ingest_time"].strftime("%Y-%m-%dT%H:00"),
    },
    sys.stdout,
)
