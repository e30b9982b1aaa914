"""kafka_check.py BROKERS TOPIC envelope|raw SENT.csv WINDOWS.json [--window N] [--letters TOPIC] [--old-seconds S]

Holds what Kafka holds against what a fleet (tests/src/fleet) sent. Reads as schemas/README.md and the architecture tell
readers to: repeats by (gateway, epoch, partition, seq) fall, then repeats of (signal, event time, value bits, quality)
within the previous N records of the partition (2^20). `raw` is a topic with the payloads themselves, keyed by MQTT
topic, where a reader has nothing to go by: every copy counts.

WINDOWS names spans of the run: [{"name", "start_us", "end_us"}], from an act's begin to its end; a span lasts until the
next one begins. What is found is counted under the span in which the message was measured:
- lost: acknowledged to the device, and some reading of it is not in the log;
- invented: a reading that nobody sent (signal, time, value, unit, quality, network or lane), or a message that came in no
  part of it;
- doubled: a copy that is left after the rules above;
- reordered: a first copy behind a later message of the same device and lane, or in another partition;
- old: with --old-seconds, a first copy behind a later one that was appended so long after it was measured, where these
  alone are in order: they are not counted as reordered;
- unacknowledged: never acknowledged, whether it is there or not;
- letters_lost, letters_invented, letters_doubled: of malformed payloads, by their bytes, in the topic of dead letters, or
  for `raw` among the others;
- holes: numbers of a (gateway, epoch, partition) that are missing between others.
Beside them, in seconds: the longest time without an acknowledgement to any device, and, after the act's end, when
fresh messages, and when all, were appended within a second again.
"""

import argparse
import bisect
import collections
import csv
import json
import sys

import kafka_log

NEVER = -(1 << 40)


class Run:
    """What was sent, by device and number, and the spans of the run."""

    def __init__(self, sent, windows):
        self.windows = windows
        self.starts = [window["start_us"] for window in windows]
        self.devices = collections.defaultdict(list)
        self.networks = {}
        self.malformed = collections.Counter()
        self.malformed_span = {}
        with open(sent, newline="") as file:
            for row in csv.reader(file):
                if row[0] == "device":
                    continue
                device, network, kind, seq, time_us, measured_us, acked_us, topic, payload = row
                device, measured_us = int(device), int(measured_us)
                messages = self.devices[device]
                assert len(messages) == int(seq), "numbers are contiguous"
                self.networks[device] = network
                messages.append((kind, int(time_us), measured_us, int(acked_us)))
                if kind not in ("live", "backfill"):
                    key = (topic, bytes.fromhex(payload))
                    self.malformed[key] += 1
                    self.malformed_span[key] = self.span(measured_us)

    def span(self, time_us):
        """Number of the span that a moment belongs to."""
        return max(0, bisect.bisect_right(self.starts, time_us) - 1)

    def message(self, device, seq):
        messages = self.devices.get(device, ())
        return messages[seq] if 0 <= seq < len(messages) else None


class Findings:
    def __init__(self, run):
        self.run = run
        self.counts = [collections.Counter() for _ in run.windows]
        self.examples = collections.defaultdict(list)
        # Malformed payloads found, by topic and bytes.
        self.letters = collections.Counter()

    def note(self, what, span, *example):
        self.counts[span][what] += 1
        if len(self.examples[what]) < 5:
            self.examples[what].append(str(example))


def first_copies(run, findings, arguments):
    """Yields (device, seq, partition, offset, append time) of each message, when the last of its readings came.

    Records of a partition come in order, so these do too.
    """
    parts = {device: {name: [NEVER] * len(messages) for name in (0, 1)} for device, messages in run.devices.items()}
    numbers = {}
    envelopes = kafka_log.schema()["Envelope"]
    for record in kafka_log.records(arguments.brokers, arguments.topic):
        append_us, offset = kafka_log.append_us(record), record.offset()
        now = run.span(append_us)
        if arguments.form == "raw":
            found = kafka_log.raw_message(record)
            message = found and run.message(found[0], found[1])
            if not message or message[1] != found[2] or message[0] != ("backfill" if found[3] else "live"):
                key = ((record.key() or b"").decode(), record.value())
                if key in run.malformed:
                    findings.letters[key] += 1
                else:
                    findings.note("invented", now, *key)
                continue
            device, seq = found[:2]
            pairs = [(0, device, seq), (1, device, seq)]
        else:
            envelope = envelopes.FromString(record.value())
            number = (envelope.gateway, envelope.epoch, record.partition())
            # Seen before by its number: the producer sent it again.
            seen = numbers.setdefault(number, set())
            if envelope.seq in seen:
                findings.note("repeats_by_number", now, number, envelope.seq)
                continue
            seen.add(envelope.seq)
            if envelope.WhichOneof("body") != "readings":
                continue
            pairs = list(known_readings(run, findings, envelope, now))
        for part, device, seq in pairs:
            last = parts[device][part][seq]
            parts[device][part][seq] = offset
            span = run.span(run.devices[device][seq][2])
            if last != NEVER:
                if arguments.form == "envelope" and offset - last <= arguments.window:
                    findings.note("repeats_by_content", span, device, seq)
                elif part == 0:
                    findings.note("doubled", span, device, seq, record.partition(), last, offset)
                continue
            if parts[device][1 - part][seq] != NEVER:
                yield device, seq, record.partition(), offset, append_us
    for (gateway, epoch, partition), seen in numbers.items():
        if len(seen) != max(seen) + 1:
            findings.note("holes", 0, gateway, epoch, partition, max(seen) + 1 - len(seen))


def known_readings(run, findings, envelope, now):
    """(part, device, seq) of an envelope's readings; what nobody sent is noted."""
    lane = "backfill" if envelope.readings.lane == 1 else "live"
    for site, device_name, name, unit, time_us, raw, quality in kafka_log.readings(envelope):
        device = kafka_log.device_of(site, envelope.network)
        part = {("supply_temperature", ""): 0, ("supply_temperature", "degC"): 0, ("probe", "pulses"): 1}.get((name, unit))
        seq = raw - (kafka_log.PROBE if part == 1 else 0)
        message = run.message(device, int(seq)) if part is not None and seq == int(seq) else None
        if message is None or device_name != "meter" or (lane, time_us, "good") != (message[0], message[1], quality):
            findings.note("invented", now, envelope.network, site, device_name, name, unit, time_us, raw, quality, lane)
        else:
            yield part, device, int(seq)


def check_messages(run, findings, arguments):
    found = {device: bytearray(len(messages)) for device, messages in run.devices.items()}
    newest = {}
    newest_old = {}
    old_us = (arguments.old_seconds or float("inf")) * 1e6
    after = [{"fresh_s": 0.0, "all_s": 0.0} for _ in run.windows]
    for device, seq, partition, offset, append_us in first_copies(run, findings, arguments):
        found[device][seq] = 1
        kind, _, measured_us, _ = run.devices[device][seq]
        span = run.span(measured_us)
        last = newest.setdefault((device, kind), (partition, -1))
        if partition != last[0]:
            findings.note("reordered", span, device, kind, seq, f"partition {last[0]}, then {partition}")
        elif seq < last[1] and append_us - measured_us > old_us and seq > newest_old.get((device, kind), -1):
            newest_old[device, kind] = seq
            findings.note("old", span, device, kind, seq)
        elif seq < last[1]:
            findings.note("reordered", span, device, kind, seq, f"behind {last[1]}", partition, offset)
        else:
            newest[device, kind] = (partition, seq)
        now = run.span(append_us)
        end_us = run.windows[now]["end_us"]
        if append_us > end_us and append_us - measured_us > 1_000_000:
            after[now]["all_s"] = max(after[now]["all_s"], (append_us - end_us) / 1e6)
            if measured_us > end_us:
                after[now]["fresh_s"] = max(after[now]["fresh_s"], (append_us - end_us) / 1e6)
    for device, messages in run.devices.items():
        for seq, (kind, _, measured_us, acked_us) in enumerate(messages):
            span = run.span(measured_us)
            findings.counts[span]["sent"] += 1
            if acked_us == 0:
                findings.note("unacknowledged", span, device, seq)
            elif kind in ("live", "backfill") and not found[device][seq]:
                findings.note("lost", span, device, kind, seq)
    return after


def read_letters(run, findings, arguments):
    letters = kafka_log.schema()["DeadLetter"]
    for record in kafka_log.records(arguments.brokers, arguments.letters):
        letter = letters.FromString(record.value())
        key = (letter.topic, letter.payload)
        if key not in run.malformed:
            findings.note("letters_invented", 0, *key)
        elif not letter.rejects:
            findings.note("letters_invented", run.malformed_span[key], *key, "no reason")
        findings.letters[key] += 1


def check_letters(run, findings):
    for key, count in run.malformed.items():
        if findings.letters[key] == 0:
            findings.note("letters_lost", run.malformed_span[key], *key)
        elif findings.letters[key] > count:
            findings.note("letters_doubled", run.malformed_span[key], *key)


def acknowledgement_gaps(run):
    """The longest time without any acknowledgement, by the span in which it began; in seconds."""
    times = sorted(message[3] for messages in run.devices.values() for message in messages if message[3])
    gaps = [0.0] * len(run.windows)
    for before, behind in zip(times, times[1:]):
        span = run.span(behind)
        gaps[span] = max(gaps[span], (behind - before) / 1e6)
    return gaps


def main():
    parser = argparse.ArgumentParser()
    for name in ["brokers", "topic", "form", "sent", "windows"]:
        parser.add_argument(name)
    parser.add_argument("--window", type=int, default=1 << 20)
    parser.add_argument("--letters")
    parser.add_argument("--old-seconds", type=float)
    arguments = parser.parse_args()
    with open(arguments.windows) as file:
        run = Run(arguments.sent, json.load(file))
    findings = Findings(run)
    after = check_messages(run, findings, arguments)
    if arguments.letters:
        read_letters(run, findings, arguments)
    check_letters(run, findings)
    gaps = acknowledgement_gaps(run)
    faults = ["sent", "lost", "invented", "doubled", "reordered", "old", "unacknowledged", "holes"]
    faults += ["letters_lost", "letters_invented", "letters_doubled", "repeats_by_number", "repeats_by_content"]
    spans = [
        {"name": window["name"], **{fault: counts[fault] for fault in faults}, "puback_gap_s": gap, **seconds}
        for window, counts, gap, seconds in zip(run.windows, findings.counts, gaps, after)
    ]
    malformed = sum(run.malformed.values())
    json.dump({"spans": spans, "malformed": malformed, "examples": findings.examples}, sys.stdout)


main()
