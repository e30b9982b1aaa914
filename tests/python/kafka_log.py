"""What a reader of Kafka sees, decoded with the public schema alone: schemas/envelope.proto through protobuf's own tools.

Messages are those of tests/src/fleet: `supply_temperature` is a message's number, `probe` that and 10,000,000.
"""

import functools
import json
import pathlib
import tempfile
import time

import confluent_kafka
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_tools import protoc

SCHEMAS = pathlib.Path(__file__).parents[2] / "schemas"
PROBE = 10_000_000
# Seconds without a record where one must be.
PATIENCE = 60
QUALITIES = ("good", "uncertain", "bad")


@functools.cache
def schema():
    """Message classes of the log, by name."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder, "schema")
        code = protoc.main(["protoc", f"-I{SCHEMAS}", f"--descriptor_set_out={out}", str(SCHEMAS / "envelope.proto")])
        assert code == 0, "the schema cannot be compiled"
        files = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    names = ["Envelope", "DeadLetter", "SignalSet", "Heartbeat"]
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"heatstream.v1.{name}")) for name in names}


def consumer(brokers):
    return confluent_kafka.Consumer(
        {
            "bootstrap.servers": brokers,
            # Required, and not used: partitions are assigned by hand, nothing is committed.
            "group.id": "checker",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": False,
            "check.crcs": True,
            "reconnect.backoff.max.ms": 500,
            "log_level": 0,
        },
        logger=None,
    )


def partitions(reader, topic):
    found = reader.list_topics(topic, timeout=60).topics[topic]
    assert found.error is None, f"{topic}: {found.error}"
    return sorted(found.partitions)


def records(brokers, topic):
    """All records of a topic up to its present end, partition by partition, in order of offset."""
    reader = consumer(brokers)
    for number in partitions(reader, topic):
        where = confluent_kafka.TopicPartition(topic, number, confluent_kafka.OFFSET_BEGINNING)
        low, high = reader.get_watermark_offsets(where, timeout=60)
        if low == high:
            continue
        reader.assign([where])
        position, deadline = low, time.monotonic() + PATIENCE
        while position < high:
            # It waits for as many as it is asked for.
            batch = reader.consume(min(1_000, high - position), timeout=1)
            assert batch or time.monotonic() < deadline, f"{topic}/{number} says nothing between {position} and {high}"
            for record in batch:
                assert record.error() is None, record.error()
                position, deadline = record.offset() + 1, time.monotonic() + PATIENCE
                if record.offset() < high:
                    yield record
    reader.close()


def append_us(record):
    """The time at which Kafka appended it."""
    kind, milliseconds = record.timestamp()
    assert kind == confluent_kafka.TIMESTAMP_LOG_APPEND_TIME, f"{record.topic()} does not use LogAppendTime"
    return milliseconds * 1_000


@functools.cache
def signal_set(data):
    found = schema()["SignalSet"].FromString(data)
    return found.site, found.device, [(signal.name, signal.raw_unit) for signal in found.signals]


def readings(envelope):
    """(site, device, name, unit, event time, raw value, quality) of each reading of an envelope."""
    body = envelope.readings
    site, device, signals = signal_set(body.signal_set)
    count = len(body.raw)
    for index in range(count):
        name, unit = signals[body.signal[index] if body.signal else index]
        delta = body.time_delta_us[index] if body.time_delta_us else 0
        quality = QUALITIES[body.quality[index]] if body.quality else "good"
        yield site, device, name, unit, body.base_time_us + delta, body.raw[index], quality


def device_of(site, network):
    """A fleet's device by its site; None if there is no such thing."""
    digits = site[2:]
    if not site.startswith("st") or not digits.isdigit():
        return None
    number = int(digits)
    return number if network == f"town-{number % 8}" and site == f"st{number:03d}" else None


def raw_message(record):
    """(device, number, event time, is backfill) of a payload that came through unchanged; None if it is none."""
    try:
        topic = (record.key() or b"").decode()
        payload = json.loads(record.value())
        kind, version, network, site, name = topic.split("/")
        number, values = int(payload["seq"]), payload["values"]
        expected = {"supply_temperature": number, "probe": {"value": number + PROBE, "unit": "pulses"}}
        if (kind, version, name) != ("heat", "v1", "meter") or values != expected or payload["boot"] != "a":
            return None
        device = device_of(site, network)
        return None if device is None else (device, number, payload["time"] * 1_000, payload.get("lane") == "backfill")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
