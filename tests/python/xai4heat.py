"""xai4heat.py ARCHIVE CSV...: compares the archive's readings with the recorded files, row by row.

Reads the files by itself and knows from deploy/mappings/xai4heat.toml only what the mapping says in words: the columns'
names, the zone, which numbers mean "no measurement", and that a row whose secondary supply is one of these is dead.
Prints the numbers of readings and of each kind of difference, with examples.
"""

import collections
import csv
import datetime
import json
import pathlib
import re
import sys
import zoneinfo

import duckdb

import archive

COLUMNS = {
    "t_amb": ("controller", "outdoor_temperature", "degC", {-39.9}),
    "t_ref": ("controller", "set_point_temperature", "degC", {0.0, -39.9}),
    "t_sup_prim": ("meter", "primary_supply_temperature", "degC", {0.0, -39.9}),
    "t_ret_prim": ("meter", "primary_return_temperature", "degC", {0.0, -39.9}),
    "t_sup_sec": ("controller", "secondary_supply_temperature", "degC", {0.0, -39.9}),
    "t_ret_sec": ("controller", "secondary_return_temperature", "degC", {0.0, -39.9}),
    "e": ("meter", "heat_energy", "MWh", {0.0}),
    "pe": ("meter", "pe", "", set()),
}
ZONE = zoneinfo.ZoneInfo("Europe/Belgrade")
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
MICROSECOND = datetime.timedelta(microseconds=1)
JOULES_PER_MWH = 3.6e9


def expected_of(path):
    """(signal, time) -> (raw value, raw unit, quality, code) of one file."""
    site = re.fullmatch(r"xai4heat_scada_(\w+)\.csv", pathlib.Path(path).name).group(1)
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            local = datetime.datetime.strptime(row["datetime"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=ZONE)
            time_us = (local.astimezone(datetime.timezone.utc) - EPOCH) // MICROSECOND
            is_dead = row["t_sup_sec"] != "" and float(row["t_sup_sec"]) in (0.0, -39.9)
            for column, (device, name, unit, sentinels) in COLUMNS.items():
                text = row[column]
                if text == "":
                    value = (None, unit, "bad", "null")
                elif is_dead or float(text) in sentinels:
                    value = (float(text), unit, "bad", "sentinel")
                else:
                    value = (float(text), unit, "good", "none")
                yield (f"xai4heat/{site}/{device}/{name}", time_us), value


def differs(name, found, expected):
    """What is wrong with a row of the archive, or None."""
    raw, unit, quality, code = expected
    found_raw, found_unit, found_quality, found_code, value, lane = found
    if (found_raw, found_unit) != (raw, unit):
        return "raw"
    if (found_quality, found_code) != (quality, code):
        return "quality"
    if lane != "backfill":
        return "lane"
    if quality == "bad":
        return None if value is None else "value"
    si = raw * JOULES_PER_MWH if name.endswith("heat_energy") else raw
    return None if value is not None and abs(value - si) <= 1e-12 * abs(si) else "value"


def main():
    root, files = sys.argv[1], sys.argv[2:]
    expected = {}
    for file in files:
        for key, value in expected_of(file):
            assert key not in expected, f"the files say {key} twice"
            expected[key] = value
    report = {"expected": len(expected), "codes": collections.Counter(value[3] for value in expected.values())}
    faults, examples = collections.Counter(), collections.defaultdict(list)

    def note(fault, *what):
        faults[fault] += 1
        if len(examples[fault]) < 5:
            examples[fault].append(str(what))

    rows = 0
    seen = set()
    paths = archive.files(root, "readings")
    if paths:
        connection = duckdb.connect()
        cursor = connection.execute(
            "SELECT signal, epoch_us(event_time), raw_value, raw_unit, quality, quality_code, value, lane "
            "FROM read_parquet($paths, hive_partitioning = false)",
            {"paths": paths},
        )
        while batch := cursor.fetchmany(100_000):
            for signal, time_us, *found in batch:
                rows += 1
                key = (signal, time_us)
                if key not in expected:
                    note("invented", key, found)
                elif key in seen:
                    note("doubled", key, found)
                else:
                    fault = differs(signal, tuple(found), expected[key])
                    if fault:
                        note("other_" + fault, key, found, expected[key])
                seen.add(key)
    for key in expected.keys() - seen:
        note("lost", key, expected[key])
    report.update(found=rows, faults=faults, examples=examples)
    json.dump(report, sys.stdout)


main()
