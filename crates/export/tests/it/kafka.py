"""A mock cluster of Kafka (librdkafka's) with topics of four partitions. Prints its address, then answers lines: `read N`."""

import json
import sys

from confluent_kafka import Consumer, Producer

producer = Producer({"test.mock.num.brokers": 3, "partitioner": "murmur2"})
brokers = producer.list_topics(timeout=10).brokers.values()
address = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
producer.list_topics("flows", timeout=10)
print(address.split(",")[0], flush=True)


def placed(keys):
    """Where librdkafka's own producer puts messages with these keys, as Java's does."""
    places = {}

    def note(error, message):
        assert error is None, error
        places[message.key()] = message.partition()

    for key in keys:
        producer.produce("other", key=key, value=b"", on_delivery=note)
        producer.poll(0)
    producer.flush(60)
    return places


def read(count):
    consumer = Consumer({"bootstrap.servers": address, "group.id": "test", "auto.offset.reset": "earliest"})
    consumer.subscribe(["flows"])
    messages = []
    while len(messages) < count:
        message = consumer.poll(60)
        assert message is not None, f"only {len(messages)} messages"
        assert message.error() is None, message.error()
        messages.append(message)
    extra = consumer.poll(1)
    assert extra is None, "one more"
    consumer.close()
    places = placed({message.key() for message in messages})
    return [
        {
            "key": message.key().decode(),
            "value": message.value().decode(),
            "partition": message.partition(),
            "expected": places[message.key()],
            "record_id": dict(message.headers())["record_id"].decode(),
        }
        for message in messages
    ]


for line in sys.stdin:
    print(json.dumps(read(int(line.split()[1]))), flush=True)
