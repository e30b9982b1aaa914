"""archive_sizes.py ARCHIVE [--month]: what an archive's readings take, column by column, beside the same readings as CSV.gz,
JSON.gz and pandas' default Parquet; with --month, how long DuckDB takes for one signal's month out of a city's year.

The files are those that manifests and revisions name; only compacted ones are weighed. For --month one network's largest
compacted date is linked under a year of dates and twenty networks in a temporary folder beside the archive: the
partitioning, the number of files and the size of each are a city's, the rows of all dates are the same.
"""

import argparse
import collections
import json
import os
import pathlib
import statistics
import sys
import tempfile
import time

import duckdb
import pandas
import pyarrow.parquet

import archive

NETWORKS = 20
DAYS = 365


def by_column(paths):
    """Rows, and bytes of each column with its index, headers and dictionaries; the rest is the footer's."""
    rows, columns, total = 0, collections.Counter(), 0
    for path in paths:
        metadata = pyarrow.parquet.ParquetFile(path).metadata
        rows += metadata.num_rows
        total += os.path.getsize(path)
        for group in range(metadata.num_row_groups):
            for place in range(metadata.num_columns):
                column = metadata.row_group(group).column(place)
                columns[column.path_in_schema] += column.total_compressed_size
    columns["(footer, page index, bloom filters)"] = total - sum(columns.values())
    return rows, total, columns


def beside(paths, folder):
    """Bytes of the same rows in other formats, at their libraries' defaults."""
    sizes = collections.Counter()
    for path in paths:
        frame = pandas.read_parquet(path, partitioning=None)
        parquet = folder / "pandas.parquet"
        frame.to_parquet(parquet)
        sizes["pandas' default Parquet"] += parquet.stat().st_size
        table = folder / "rows.csv.gz"
        frame.to_csv(table, index=False, compression="gzip")
        sizes["CSV.gz"] += table.stat().st_size
        lines = folder / "rows.json.gz"
        frame.to_json(lines, orient="records", lines=True, date_unit="us", compression="gzip")
        sizes["JSON.gz"] += lines.stat().st_size
    return sizes


def month(path, folder):
    """Milliseconds, median of five, for one signal's month out of a year of linked files."""
    folder = pathlib.Path(folder)
    first = time.gmtime(time.mktime((2025, 1, 1, 12, 0, 0, 0, 0, 0)))
    start = time.mktime(first)
    for day in range(DAYS):
        date = time.strftime("%Y-%m-%d", time.gmtime(start + day * 86_400))
        for network in range(NETWORKS):
            place = folder / f"date={date}" / f"network=n{network:02}"
            place.mkdir(parents=True)
            os.link(path, place / "part.parquet")
    connection = duckdb.connect()
    signals = connection.execute(f"SELECT DISTINCT signal FROM read_parquet('{path}') ORDER BY signal").fetchall()
    signal = signals[len(signals) // 2][0]
    sql = (
        f"SELECT event_time, value FROM read_parquet('{folder}/**/*.parquet', hive_partitioning = true, "
        "hive_types = {'date': DATE}) WHERE network = 'n07' AND date BETWEEN '2025-03-01' AND '2025-03-31' "
        f"AND signal = '{signal}'"
    )
    listed = sql.replace("/**/*.parquet", "/date=2025-03-*/network=n07/*.parquet")
    found = {}
    for name, text in {"whole glob": sql, "dates in the path": listed}.items():
        took, rows = [], 0
        for _ in range(6):
            begun = time.perf_counter()
            rows = len(connection.execute(text).fetchall())
            took.append((time.perf_counter() - begun) * 1_000)
        found[name] = {"ms": round(statistics.median(took[1:]), 1), "first_ms": round(took[0], 1), "rows": rows}
    return {"signals_in_file": len(signals), "file_mb": round(os.path.getsize(path) / 1e6, 1), **found}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("archive")
    parser.add_argument("--month", action="store_true")
    arguments = parser.parse_args()
    paths = [path for path in archive.files(arguments.archive, "readings") if "-r" in path.rpartition("/")[2]]
    if not paths:
        sys.exit("no compacted files: run `heatstream archive compact` first")
    rows, total, columns = by_column(paths)
    report = {
        "rows": rows,
        "files": len(paths),
        "bytes_per_reading": round(total / rows, 2),
        "by_column": {name: round(size / rows, 3) for name, size in columns.most_common()},
    }
    with tempfile.TemporaryDirectory() as folder:
        others = beside(paths, pathlib.Path(folder))
        report["beside"] = {name: round(size / rows, 2) for name, size in others.items()}
    if arguments.month:
        largest = max(paths, key=os.path.getsize)
        with tempfile.TemporaryDirectory(dir=pathlib.Path(arguments.archive).parent) as folder:
            report["month"] = month(largest, folder)
    json.dump(report, sys.stdout, indent=1)
    print()


main()
