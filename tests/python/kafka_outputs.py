"""kafka_outputs.py BROKERS: what the processors said in heat.incident-events.v1, and whether they agree with themselves.

An output's place is its partition, the input's offset and its number there. Readers drop a second output of a place, so a
repetition does no harm if it is the same, byte for byte; two outputs of one place that differ are a contradiction. What the
detectors can judge (Status) has no place: readers keep the latest.
"""

import collections
import json
import sys

import kafka_log

said, repeated, contradictions, opened = {}, 0, [], collections.defaultdict(list)
backwards = []
last = {}
for record in kafka_log.records(sys.argv[1], "heat.incident-events.v1"):
    text = record.value()
    (kind, output), = json.loads(text).items()
    if kind == "Status":
        continue
    place = record.partition(), output["input_offset"], output["ordinal"]
    if place in said:
        repeated += 1
        if said[place] != text:
            contradictions.append([said[place].decode(), text.decode()])
        continue
    said[place] = text
    if place < last.get(record.partition(), place):
        backwards.append(place)
    last[record.partition()] = place
    if kind == "Event" and output["change"]["kind"] in ("opened", "reopened"):
        incident = output["incident"]
        opened[incident["network"]].append([incident["class"], incident["id"]])
json.dump(
    {
        "outputs": len(said),
        "repeated": repeated,
        "contradictions": contradictions,
        "backwards": backwards,
        "opened": opened,
    },
    sys.stdout,
)
