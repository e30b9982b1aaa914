#!/usr/bin/env python3
"""Judges `heatstream backtest` on several simulated networks, each in a folder of its own, and pools what it found.

    networks.py --heatstream target/release/heatstream [--details] FOLDER...

A folder holds mapping.toml with readings.csv, late.mapping.toml with late.csv, perhaps fast/mapping.toml with fast/*.csv
(files may end in .gz), the plant tables in plant/, and labels.csv. Found and false alarms are the backtest's own verdicts; rates
have exact 95 % intervals of the Poisson distribution; the chance line moves every alarm to a random time of its network a
thousand times, with the backtest's rules of what may match what. Standard library only.
"""

import argparse
import json
import math
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
from datetime import datetime

DAY = 86_400.0
WARM_UP = 14 * DAY
# Classes whose place is a station or a signal: rated by station-month.
OF_STATIONS = {
    "consumer_thermal", "underheating", "exchanger_leak", "sensor_fault", "clock_fault", "silence", "unknown",
}  # fmt: skip
LEAKS = {"leak_abrupt", "leak_incipient"}
DRAWS = 1_000


def one_of(folder, name):
    found = [path for path in (folder / name, folder / f"{name}.gz") if path.exists()]
    if not found:
        sys.exit(f"{folder} has no {name}")
    return found[0]


def backtest(program, folder):
    with tempfile.TemporaryDirectory() as scratch:
        report = pathlib.Path(scratch, "report.json")
        command = [program, "backtest", "--mapping", folder / "mapping.toml", one_of(folder, "readings.csv")]
        command += ["--mapping", folder / "late.mapping.toml", one_of(folder, "late.csv")]
        fast = sorted(path for path in folder.glob("fast/*") if ".csv" in path.suffixes)
        if fast:
            command += ["--mapping", folder / "fast/mapping.toml", *fast]
        command += ["--plant", folder / "plant", "--labels", folder / "labels.csv", "--format", "json", "--output", report]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{folder}: exit code {done.returncode}\n{done.stderr[-2_000:]}")
        return json.loads(report.read_text())


def seconds(text):
    return datetime.fromisoformat(text).timestamp()


def base(text):
    return text.split("(")[0].strip()


def poisson_below(count, mean):
    """Chance of at most `count` events where `mean` are expected."""
    return sum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(count + 1)) if mean > 0 else 1.0


def poisson_mean(count, chance):
    """The mean at which at most `count` events have this chance."""
    low, high = 0.0, 10.0 * (count + 5)
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if poisson_below(count, middle) > chance else (low, middle)
    return low


def rate(count, months):
    lower = poisson_mean(count - 1, 0.975) if count else 0.0
    return f"{count} = {count / months:.3f} ({lower / months:.3f} to {poisson_mean(count, 0.025) / months:.3f})"


def site(place, network):
    place = (place or "").removeprefix(f"{network}/")
    return place.replace(" ", "/").split("/")[0]


def is_about(event, alarm):
    """Whether the alarm, at the right time, would count for the event."""
    if (base(event["class"]), event["network"]) != (base(alarm["class"]), alarm["network"]):
        return False
    places = {site(event["place"], event["network"]), site(alarm["place"], alarm["network"])} - {""}
    return base(event["class"]) not in OF_STATIONS or len(places) < 2


def window(label):
    """How long after an event's beginning an alarm still counts."""
    name = base(label)
    if name in ("burst", "leak_abrupt"):
        return DAY
    return 14 * DAY if name == "leak_incipient" or (name == "sensor_fault" and "drift" in label) else 2 * DAY


def matched(fits, events):
    """How many events can have an alarm each: a maximum matching by augmenting paths."""
    holder = [None] * events

    def place(alarm, seen):
        for event in fits[alarm]:
            if event not in seen:
                seen.add(event)
                if holder[event] is None or place(holder[event], seen):
                    holder[event] = alarm
                    return True
        return False

    for alarm in range(len(fits)):
        place(alarm, set())
    return sum(held is not None for held in holder)


def chance(events, alarms, spans):
    """Mean and 95 % quantile of the share that the same alarms find at random times."""
    draw = random.Random(1)
    about = [[number for number, event in enumerate(events) if is_about(event, alarm)] for alarm in alarms]
    windows = [
        (seconds(event["start"]), min(seconds(event["end"]), seconds(event["start"]) + window(event["class"])))
        for event in events
    ]
    shares = []
    for _ in range(DRAWS):
        fits = []
        for alarm, candidates in zip(alarms, about):
            at = draw.uniform(*spans[alarm["network"]])
            fits.append([number for number in candidates if windows[number][0] <= at <= windows[number][1]])
        shares.append(matched([fit for fit in fits if fit], len(events)) / len(events))
    shares.sort()
    return f"{statistics.mean(shares):.0%} ({shares[DRAWS * 95 // 100]:.0%})"


def median(values):
    values = [value for value in values if value is not None]
    return f"{statistics.median(values):.2f}" if values else "-"


def total(reports, name):
    return sum(report["scores"][name] for report in reports)


def pool(reports, details):
    network_months, station_months = total(reports, "network_months"), total(reports, "station_months")
    print(f"{len(reports)} networks, {network_months:.1f} network-months, {station_months:.0f} station-months")
    events = [event for report in reports for event in report["events"] if event["verdict"] != "unscored"]
    alarms = [alarm for report in reports for alarm in report["alarms"] if alarm["verdict"] in ("true", "false", "repeat")]
    spans = {
        network["network"]: (seconds(network["from"]) + WARM_UP, seconds(network["to"]))
        for report in reports
        for network in report["coverage"]["networks"]
    }
    false = [alarm for alarm in alarms if alarm["verdict"] == "false"]
    for name in sorted({base(told["class"]) for told in events + alarms}):
        of_class = [event for event in events if base(event["class"]) == name]
        said = [alarm for alarm in alarms if base(alarm["class"]) == name]
        found = [event for event in of_class if event["verdict"] == "found"]
        months, unit = (station_months, "station") if name in OF_STATIONS else (network_months, "network")
        by_chance = chance(of_class, said, spans) if of_class else "-"
        wrong = rate(sum(base(alarm["class"]) == name for alarm in false), months)
        delay = median(event["delay_h"] for event in found)
        print(f"{name:18} {len(found):3} of {len(of_class):3}  by chance {by_chance:10}  false {wrong} a {unit}-month  delay {delay} h")
    for names, months, unit in ((("P1", "P2"), network_months, "network"), (("P3",), network_months, "network"), (("P4",), station_months, "station")):
        print(f"false {'+'.join(names):5} {rate(sum(alarm['priority'] in names for alarm in false), months)} a {unit}-month")
    print(
        f"paged in the first 14 days without a cause: {total(reports, 'warm_up_pages_unexplained')}; losses that stand out found"
        f" within 24 h: {total(reports, 'detectable_found_24h')} of {total(reports, 'detectable')}; told once:"
        f" {total(reports, 'told_once')} of {total(reports, 'told')}; events of every class told once:"
        f" {total(reports, 'causes_told_once')} of {total(reports, 'causes_told')}"
    )
    stand_out(events)
    smallest(reports)
    where(events)
    confusion([report["confusion"] for report in reports if report["confusion"]])
    if details:
        for event in events:
            if event["verdict"] != "found":
                print("missed:", event["network"], event["class"], event["place"], event["start"], "found as", event["found_as"])
        for alarm in false:
            print("false:", alarm["network"], alarm["priority"], alarm["class"], alarm["place"], alarm["emitted"], alarm["text_en"][:300])


def stand_out(events):
    """How far losses stand out of the noise, what was found of each, and how soon against 13 h/s2."""
    losses = [event for event in events if event["detectability"] is not None]
    for low, high in ((0, 1), (1, 3), (3, 10), (10, 30), (30, math.inf)):
        inside = [event for event in losses if low <= event["detectability"] < high]
        soon = [event for event in inside if event["delay_since_detectable_h"] is not None and event["delay_since_detectable_h"] <= 24]
        if inside:
            print(f"losses with s of {low} to {high}: {len(inside)}, found within 24 h of s >= 1 {len(soon)}")
    over = [event["delay_over_theory"] for event in losses]
    print(f"delay of sudden losses over 13 h/s2, median: {median(over)}")
    bursts = sorted(event["delay_h"] * 3600 for event in events if base(event["class"]) == "burst" and event["delay_h"] is not None)
    if bursts:
        print(f"bursts, onset to incident: median {statistics.median(bursts):.0f} s, slowest {bursts[-1]:.0f} s")


def smallest(reports):
    """Per network: the smallest sudden loss that its noise lets be found in 24 h, and the smallest that was."""
    for network in (network for report in reports for network in report["scores"]["networks"]):
        shares = [network[key] for key in ("smallest_by_noise_share", "smallest_found_share")]
        flows = [network[key] for key in ("smallest_by_noise_t_h", "smallest_found_t_h")]
        said = ["-" if share is None else f"{100 * share:.2f} % ({flow:.2f} t/h)" for share, flow in zip(shares, flows)]
        print(f"{network['network']}: smallest loss in 24 h by its noise {said[0]}, found {said[1]}")


def wilson(count, of):
    """The share with its 95 % interval after Wilson."""
    if not of:
        return "-"
    z, share = 1.96, count / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return f"{count} of {of} ({100 * share:.0f} %; {100 * (middle - half):.0f} to {100 * (middle + half):.0f})"


def where(events):
    """Share of trench searched until the true pipe is reached: when raised, later (10 min, 24 h), by length and age alone."""
    located = [event for event in events if event["located"]]
    for name, chosen in (
        ("bursts", lambda event: base(event["class"]) == "burst"),
        ("leaks", lambda event: base(event["class"]) in LEAKS),
        ("leaks of 1 % and more", lambda event: base(event["class"]) in LEAKS and (event["share"] or 0) >= 0.01),
    ):
        of_kind = [event for event in located if chosen(event)]
        shares = [median(event[key] and event[key]["search_fraction"] for event in of_kind) for key in ("located", "located_later", "located_prior")]
        print(f"trench searched, {len(of_kind)} {name}: {shares[0]} when raised, {shares[1]} later, {shares[2]} by length and age alone")


def confusion(tables):
    columns = ("events", "sensor", "consumer", "network", "leak", "none")
    rows = {}
    for row in (row for table in tables for row in table["rows"]):
        sums = rows.setdefault(row["truth"], dict.fromkeys(columns, 0))
        for column in columns:
            sums[column] += row[column]
    for truth, sums in rows.items():
        print(f"{truth:10}", "  ".join(f"{column} {sums[column]}" for column in columns))
    true = {truth: sums for truth, sums in rows.items() if truth in columns}
    named = sum(sum(sums[column] for column in columns[1:5]) for sums in true.values())
    right = sum(sums[truth] for truth, sums in true.items())
    print(f"named {wilson(named, sum(sums['events'] for sums in true.values()))}, first name right {wilson(right, named)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heatstream", required=True, help="the program")
    parser.add_argument("--details", action="store_true", help="list what was missed and what was false")
    parser.add_argument("folders", nargs="+", type=pathlib.Path)
    arguments = parser.parse_args()
    reports = []
    for folder in arguments.folders:
        reports.append(backtest(arguments.heatstream, folder))
        print(folder.name, file=sys.stderr)
    pool(reports, arguments.details)


if __name__ == "__main__":
    main()
