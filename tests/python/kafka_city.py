"""kafka_city.py BROKERS: the newest record of each key of the city's topic, as JSON, with how many records there were."""

import json
import sys

import kafka_log

held, count = {}, 0
for record in kafka_log.records(sys.argv[1], "heat.city.v1"):
    count += 1
    key = record.key().decode()
    if record.value():
        held[key] = json.loads(record.value())
    else:
        held.pop(key, None)
json.dump({"held": held, "records": count}, sys.stdout)
