"""kafka_tail.py BROKERS TOPIC envelope|raw: follows a topic from its end and prints a line twice a second.

Each line is JSON: messages seen so far, and the largest lag (time of append - event time) of live messages appended
since the line before, in seconds, or null if there were none.
"""

import json
import sys
import time

import confluent_kafka

import kafka_log

brokers, topic, form = sys.argv[1:]
reader = kafka_log.consumer(brokers)
reader.assign(
    [
        confluent_kafka.TopicPartition(topic, number, confluent_kafka.OFFSET_END)
        for number in kafka_log.partitions(reader, topic)
    ]
)
envelopes = kafka_log.schema()["Envelope"]
messages, lag, next_line = 0, None, time.monotonic() + 0.5
print(json.dumps({"messages": 0, "lag_s": None}), flush=True)
while True:
    for record in reader.consume(2_000, timeout=0.1):
        # An outage is no end: the client goes on by itself.
        if record.error() is not None:
            continue
        time_us, is_live = None, False
        if form == "envelope":
            envelope = envelopes.FromString(record.value())
            if envelope.WhichOneof("body") == "readings":
                time_us, is_live = envelope.readings.base_time_us, envelope.readings.lane == 0
        else:
            message = kafka_log.raw_message(record)
            if message is not None:
                time_us, is_live = message[2], not message[3]
        if time_us is None:
            continue
        messages += 1
        if is_live:
            behind = (kafka_log.append_us(record) - time_us) / 1e6
            lag = behind if lag is None else max(lag, behind)
    if time.monotonic() >= next_line:
        print(json.dumps({"messages": messages, "lag_s": lag}), flush=True)
        lag, next_line = None, time.monotonic() + 0.5
