"""Reads an archive's readings out of a bucket with Arrow's own client of S3: bucket.py PORT BUCKET/PREFIX"""

import json
import sys

import pyarrow.dataset
import pyarrow.fs

store = pyarrow.fs.S3FileSystem(
    endpoint_override=f"127.0.0.1:{sys.argv[1]}", scheme="http", access_key="any", secret_key="any", region="us-east-1"
)
readings = pyarrow.dataset.dataset(f"{sys.argv[2]}/readings", filesystem=store, format="parquet")
print(json.dumps({"rows": readings.count_rows()}))
