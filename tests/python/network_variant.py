#!/usr/bin/env python3
"""Makes a copy of a simulated network's folder with less data in it, for networks.py.

    network_variant.py holes FROM TO [--seed N]              10 % of all values missing, and a hole of 6 h in every week
    network_variant.py pressures FROM TO --share 0.3 [--seed N]    only so many stations keep their pressures
    network_variant.py scans FROM TO --every 60               the windows of fast scans have one every so many seconds only

Sources and chambers keep theirs. Needs pandas.
"""

import argparse
import pathlib
import random
import shutil

import pandas

MISSING = 0.1
WEEK, HOLE = pandas.Timedelta(days=7), pandas.Timedelta(hours=6)


def tables(folder):
    """The CSV files with values, and whether each has a column for every signal."""
    for path in sorted(folder.glob("readings.csv*")) + sorted(folder.glob("fast/*.csv*")):
        yield path, True
    for path in sorted(folder.glob("late.csv*")):
        yield path, False


def rewrite(folder, change):
    for path, is_wide in tables(folder):
        frame = pandas.read_csv(path, dtype=str, keep_default_na=False)
        if len(frame):
            change(frame, is_wide).to_csv(path, index=False)


def with_holes(folder, draw):
    first = pandas.read_csv(next(path for path, _ in tables(folder)), usecols=["time"], dtype=str)
    times = pandas.to_datetime(first["time"])
    weeks = int((times.iloc[-1] - times.iloc[0]) / WEEK) + 1
    holes = [times.iloc[0] + WEEK * week + draw.random() * (WEEK - HOLE) for week in range(weeks)]

    def change(frame, is_wide):
        at = pandas.to_datetime(frame["time" if is_wide else "received"], format="ISO8601")
        in_hole = [any(hole <= time < hole + HOLE for hole in holes) for time in at]

        def gone():
            return [inside or draw.random() < MISSING for inside in in_hole]

        if not is_wide:
            return frame[[not lost for lost in gone()]]
        for column in frame.columns[1:]:
            frame.loc[gone(), column] = ""
        return frame

    rewrite(folder, change)


def with_scans(folder, every):
    for path in sorted(folder.glob("fast/*.csv*")):
        frame = pandas.read_csv(path, dtype=str, keep_default_na=False)
        at = pandas.to_datetime(frame["time"], format="ISO8601", utc=True)
        seconds = (at - pandas.Timestamp(0, tz="UTC")) // pandas.Timedelta(seconds=1)
        frame[seconds % every == 0].to_csv(path, index=False)


def with_pressures(folder, draw, share):
    sites = pandas.read_csv(folder / "plant/sites.csv", dtype=str)
    stations = sorted(sites.loc[sites["kind"] == "station", "id"])
    deaf = set(stations) - set(draw.sample(stations, max(1, round(share * len(stations)))))

    def change(frame, is_wide):
        if not is_wide:
            return frame[~(frame["site"].isin(deaf) & frame["name"].str.endswith("_pressure"))]
        for column in frame.columns[1:]:
            if column.split(".")[0] in deaf and column.endswith("_pressure"):
                frame[column] = ""
        return frame

    rewrite(folder, change)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["holes", "pressures", "scans"])
    parser.add_argument("source", type=pathlib.Path, metavar="FROM")
    parser.add_argument("target", type=pathlib.Path, metavar="TO")
    parser.add_argument("--share", type=float, default=0.3)
    parser.add_argument("--every", type=int, default=60, help="seconds")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    shutil.copytree(arguments.source, arguments.target)
    draw = random.Random(arguments.seed)
    if arguments.what == "holes":
        with_holes(arguments.target, draw)
    elif arguments.what == "scans":
        with_scans(arguments.target, arguments.every)
    else:
        with_pressures(arguments.target, draw, arguments.share)


if __name__ == "__main__":
    main()
