"""kafka_topic.py BROKERS TOPIC PARTITIONS: makes a topic that stamps records as heatstream's do; prints its name."""

import json
import sys

from confluent_kafka.admin import AdminClient, NewTopic

brokers, topic, partitions = sys.argv[1:]
config = {"message.timestamp.type": "LogAppendTime"}
admin = AdminClient({"bootstrap.servers": brokers})
made = admin.create_topics([NewTopic(topic, int(partitions), 1, config=config)])
made[topic].result(timeout=60)
json.dump(topic, sys.stdout)
