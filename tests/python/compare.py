"""compare.py ARCHIVE EXPECTED.csv [--by-folder]: compares the readings with what was sent.

EXPECTED has the columns signal, event_time_us, raw_value, one row a reading. Prints counts and examples of
- lost: sent, and not in the archive;
- invented: in the archive, and not sent with this value;
- doubled: several times in the archive;
- disordered: first copies of a device's readings whose order in the log is not the order of sending (event_time).

By the manifests; with --by-folder by everything that lies in the folder.
"""

import json
import sys

import duckdb

import archive

root, expected = sys.argv[1:3]
paths = (archive.all_files if "--by-folder" in sys.argv else archive.files)(root, "readings")
connection = duckdb.connect()
connection.execute("SET TimeZone = 'UTC'")
columns = "signal VARCHAR, event_time_us BIGINT, raw_value DOUBLE"
if paths:
    connection.execute(
        "CREATE TABLE found AS SELECT signal, epoch_us(event_time) AS event_time_us, raw_value, device, site, "
        "kafka_partition, kafka_offset FROM read_parquet($paths, hive_partitioning = false)",
        {"paths": paths},
    )
else:
    connection.execute(f"CREATE TABLE found ({columns}, device VARCHAR, site VARCHAR, kafka_partition INT, kafka_offset BIGINT)")
connection.execute(
    "CREATE TABLE sent AS SELECT * FROM read_csv($path, header = true, columns = "
    "{'signal': 'VARCHAR', 'event_time_us': 'BIGINT', 'raw_value': 'DOUBLE'})",
    {"path": expected},
)
keys = "signal, event_time_us, raw_value"
queries = {
    "lost": f"SELECT {keys} FROM (SELECT DISTINCT {keys} FROM sent) EXCEPT SELECT {keys} FROM found",
    "invented": f"SELECT DISTINCT {keys} FROM found EXCEPT SELECT {keys} FROM sent",
    "doubled": f"SELECT {keys} FROM found GROUP BY {keys} HAVING count(*) > 1",
    "disordered": f"""SELECT {keys} FROM (SELECT {keys}, event_time_us < lag(event_time_us) OVER
        (PARTITION BY signal ORDER BY kafka_partition, kafka_offset) AS back FROM found) WHERE back""",
}
report = {
    "sent": connection.execute("SELECT count(*) FROM sent").fetchone()[0],
    "found": connection.execute("SELECT count(*) FROM found").fetchone()[0],
}
for name, query in queries.items():
    rows = connection.execute(query + " ORDER BY ALL").fetchall()
    report[name] = len(rows)
    report["examples_of_" + name] = [str(row) for row in rows[:5]]
json.dump(report, sys.stdout)
