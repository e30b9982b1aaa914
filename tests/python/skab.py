#!/usr/bin/env python3
"""Judges `heatstream backtest --scores` on the SKAB benchmark by its published protocol.

The first 400 rows of each file are training and are not scored. Outliers: F1, false-alarm rate and missed-alarm rate
over the points of all files. Changepoints: the NAB score of every change of the flag, with a window of 60 s to the right
of each true changepoint (profiles Standard, LowFP, LowFN). Beside them the chance lines: an alarm at every point, and
for the changepoints random alarms with as many changes of the flag as were made.

    skab.py --heatstream target/debug/heatstream --mapping deploy/mappings/skab.toml DIR/valve1/*.csv

Protocol: github.com/waico/SKAB, v0.9 (Katser & Kozitsin, 2020, doi 10.34740/KAGGLE/DSV/1693952). Standard library only.
"""

import argparse
import csv
import math
import pathlib
import random
import subprocess
import sys
import tempfile
from datetime import datetime, timedelta, timezone

TRAINING_ROWS = 400
WINDOW_SECONDS = 60.0
# Weights of a false and of a missed changepoint.
PROFILES = {"Standard": (-0.11, -1.0), "LowFP": (-0.22, -1.0), "LowFN": (-0.11, -2.0)}
ZONE = timezone(timedelta(hours=3))


def read_labels(path):
    """Times (Unix seconds), anomaly and changepoint flags of one file."""
    times, anomalies, changes = [], [], []
    with open(path, newline="") as file:
        for row in csv.DictReader(file, delimiter=";"):
            moment = datetime.strptime(row["datetime"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=ZONE)
            times.append(moment.timestamp())
            anomalies.append(float(row["anomaly"]) == 1.0)
            changes.append(float(row["changepoint"]) == 1.0)
    return times, anomalies, changes


def read_flags(path, times):
    """The flag at each time; a frame that was not closed before the file ended keeps the one before."""
    flags = {}
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            if row["behaviour_off"]:
                flags[datetime.fromisoformat(row["time"]).timestamp()] = row["behaviour_off"] == "1"
    if not flags:
        sys.exit(f"{path}: no row has behaviour_off; is the mapping the right one?")
    found, last = [], False
    for time in times:
        last = flags.get(time, last)
        found.append(last)
    return found


def run(arguments, path):
    with tempfile.TemporaryDirectory() as directory:
        scores = pathlib.Path(directory) / "scores.csv"
        command = [arguments.heatstream, "backtest", "--mapping", arguments.mapping, path, "--scores", str(scores)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{path}: backtest ended with {done.returncode}: {done.stderr.strip()}")
        labels = read_labels(path)
        flags = read_flags(scores, labels[0])
    return [column[TRAINING_ROWS:] for column in (*labels, flags)]


def binary(files):
    counts = {(truth, flag): 0 for truth in (False, True) for flag in (False, True)}
    for _, anomalies, _, flags in files:
        for pair in zip(anomalies, flags):
            counts[pair] += 1
    hit, false, missed, quiet = (counts[pair] for pair in ((True, True), (False, True), (True, False), (False, False)))
    f1 = hit / (hit + (false + missed) / 2) if hit else 0.0
    return f1, 100 * false / max(false + quiet, 1), 100 * missed / max(missed + hit, 1)


def value_of_hit(share, false_weight):
    """What a changepoint is worth that is found after this share of its window: 1 at once, a false one's weight at the end."""
    step = min(int(share * 1000), 999)
    x = -math.pi / 2 + math.pi * step / 999
    half = (1.0 - false_weight) / 2
    return -half * math.tanh(x) / math.tanh(math.pi / 2) + half + false_weight


def nab(files, profile):
    false_weight, missed_weight = PROFILES[profile]
    score, perfect = 0.0, 0
    for times, _, changes, flags in files:
        alarms = [t for t, flag, before in zip(times, flags, [False, *flags]) if flag != before]
        windows = [[t, t + WINDOW_SECONDS] for t, change in zip(times, changes) if change]
        for left, right in zip(windows, windows[1:]):
            right[0] = max(right[0], left[1])
        inside = set()
        for begin, end in windows:
            hits = [t for t in alarms if begin <= t <= end]
            inside.update(hits)
            score += value_of_hit((hits[0] - begin) / (end - begin), false_weight) if hits else missed_weight
        score += false_weight * sum(t not in inside for t in alarms)
        perfect += len(windows)
    nothing = missed_weight * perfect
    return 100 * (score - nothing) / (perfect - nothing)


def with_flags(files, make):
    return [[times, anomalies, changes, make(flags)] for times, anomalies, changes, flags in files]


def shuffled(flags, rng):
    """As many changes of the flag as were made, at random times."""
    changes = sum(a != b for a, b in zip(flags, [False, *flags]))
    at = set(rng.sample(range(len(flags)), changes))
    state, out = False, []
    for index in range(len(flags)):
        state ^= index in at
        out.append(state)
    return out


def line(name, files):
    f1, far, mar = binary(files)
    scores = "  ".join(f"{nab(files, profile):6.1f}" for profile in PROFILES)
    print(f"{name:34}  {f1:5.3f}  {far:6.1f}  {mar:6.1f}  {scores}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heatstream", required=True, help="the binary")
    parser.add_argument("--mapping", required=True, help="mapping of the benchmark's columns")
    parser.add_argument("--each", action="store_true", help="also a line for each file")
    parser.add_argument("files", nargs="+")
    arguments = parser.parse_args()

    files = [run(arguments, path) for path in arguments.files]
    print(f"{'':34}     F1   FAR %   MAR %  NAB std   LowFP   LowFN")
    line(f"heatstream, {len(files)} files", files)
    if arguments.each:
        for path, file in zip(arguments.files, files):
            line("  " + "/".join(pathlib.Path(path).parts[-2:]), [file])
    line("an alarm at every point", with_flags(files, lambda flags: [True] * len(flags)))
    line("the labels themselves", [[t, a, c, a] for t, a, c, _ in files])
    rng = random.Random(1)
    draws = sorted(nab(with_flags(files, lambda flags: shuffled(flags, rng)), "Standard") for _ in range(200))
    print(f"as many changes of the flag at random times: NAB {sum(draws) / len(draws):.1f}, 95 % quantile {draws[189]:.1f}")


if __name__ == "__main__":
    main()
