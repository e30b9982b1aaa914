"""query.py ARCHIVE SQL: prints a query's rows as JSON. The data sets are views; times are microseconds."""

import json
import sys

import duckdb

import archive

root, sql = sys.argv[1:]
connection = duckdb.connect()
connection.execute("SET TimeZone = 'UTC'")
for dataset in ["readings", "rejected", "inputs", "incidents", "incident_events"]:
    paths = archive.files(root, dataset)
    if paths:
        files = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
        connection.execute(
            f"CREATE VIEW {dataset} AS SELECT * REPLACE (epoch_us(event_time) AS event_time, "
            "epoch_us(ingest_time) AS ingest_time, epoch_us(append_time) AS append_time) "
            f"FROM read_parquet([{files}], hive_partitioning = false, union_by_name = true)"
        )
cursor = connection.execute(sql)
names = [column[0] for column in cursor.description]
json.dump([dict(zip(names, row)) for row in cursor.fetchall()], sys.stdout)
