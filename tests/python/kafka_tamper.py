"""kafka_tamper.py BROKERS FROM TO ACT,...: copies a topic of envelopes with one thing changed for each act.

The changes are such as a faulty gateway could make; all else stays, with fresh numbers, so that only the deeds show:
- delete: one message's record is left out;
- alter: one reading's raw value is changed;
- add: one message's record is there twice, close together, as another gateway would append it again;
- add_far: the same, the second one at the partition's end;
- swap: two messages of one device change places.
Prints where.
"""

import json
import sys

import confluent_kafka
from confluent_kafka.admin import AdminClient, NewTopic

import kafka_log

brokers, source, target, acts = sys.argv[1:]
envelopes = kafka_log.schema()["Envelope"]
reader = kafka_log.consumer(brokers)
count = len(kafka_log.partitions(reader, source))
reader.close()
config = {"message.timestamp.type": "LogAppendTime"}
admin = AdminClient({"bootstrap.servers": brokers})
made = admin.create_topics([NewTopic(target, count, 1, config=config)])
made[target].result(timeout=60)

by_partition = {number: [] for number in range(count)}
for record in kafka_log.records(brokers, source):
    by_partition[record.partition()].append((record.key(), envelopes.FromString(record.value())))


def device(envelope):
    is_live = envelope.WhichOneof("body") == "readings" and envelope.readings.lane == 0
    return kafka_log.signal_set(envelope.readings.signal_set)[:2] if is_live else None


partition = max(by_partition, key=lambda number: len(by_partition[number]))
entries = by_partition[partition]
# From the back, so that what one deed moves lies behind the next one's place.
places = [index for index, (_, envelope) in enumerate(entries) if device(envelope)]
acts = acts.split(",")
done = {}
for number, act in enumerate(acts):
    place = places[len(places) * (len(acts) - number) // (len(acts) + 1)]
    key, envelope = entries[place]
    done[act] = place
    if act == "delete":
        del entries[place]
    elif act == "alter":
        envelope.readings.raw[0] += 0.5
    elif act in ("add", "add_far"):
        copy = envelopes.FromString(envelope.SerializeToString())
        entries.insert(place + 3 if act == "add" else len(entries), (key, copy))
    elif act == "swap":
        others = (index for index in range(place + 1, len(entries)) if device(entries[index][1]) == device(envelope))
        other = next(others)
        entries[place], entries[other] = entries[other], entries[place]
    else:
        sys.exit(f"no such act: {act}")

writer = confluent_kafka.Producer({"bootstrap.servers": brokers, "enable.idempotence": True, "linger.ms": 20})
for number, entries in by_partition.items():
    for seq, (key, envelope) in enumerate(entries):
        envelope.gateway, envelope.epoch, envelope.seq = "tamperer", 1, seq
        writer.produce(target, envelope.SerializeToString(), key, number)
        writer.poll(0)
left = writer.flush(60)
assert left == 0, f"{left} records were not written"
json.dump({"partition": partition, **done}, sys.stdout)
