"""kafka_forget.py BROKERS PREFIX: deletes the consumer groups with this prefix, with their offsets, once they are empty; prints
their names."""

import json
import sys
import time

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

PATIENCE_S = 60

brokers, prefix = sys.argv[1:]
admin = AdminClient({"bootstrap.servers": brokers})
listed = admin.list_consumer_groups(request_timeout=PATIENCE_S).result()
names = sorted(group.group_id for group in listed.valid if group.group_id.startswith(prefix))
deadline = time.monotonic() + PATIENCE_S
for name in names:
    while True:
        try:
            admin.delete_consumer_groups([name], request_timeout=PATIENCE_S)[name].result()
            break
        except KafkaException:
            # A member that was killed belongs to its group until its session ends.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
json.dump(names, sys.stdout)
