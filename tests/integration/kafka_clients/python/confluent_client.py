"""librdkafka through confluent-kafka: one command of the matrix. See ../README.md."""
import json
import select
import sys
import time

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition, OFFSET_BEGINNING
from confluent_kafka.admin import (AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions,
                                   NewTopic, OffsetSpec, ResourceType)
import matrix
from matrix import check


def produce(bootstrap, topic, codecs, count):
    failed = []
    for codec, numbers in matrix.batches(codecs, int(count)):
        producer = Producer({"bootstrap.servers": bootstrap, "compression.type": codec, "linger.ms": 20,
                             "enable.idempotence": True})
        for i in numbers:
            producer.produce(topic, partition=i % 3, key=matrix.key(i), value=matrix.value(i),
                             headers=matrix.headers(i), timestamp=matrix.T0 + i * 1000,
                             on_delivery=lambda error, _: failed.append(error) if error else None)
        check(producer.flush(30) == 0 and not failed, f"{codec}: {failed[:1]}")
    print("OK")


def consumer(bootstrap, **more):
    return Consumer({"bootstrap.servers": bootstrap, "group.id": "none", "auto.offset.reset": "earliest",
                     "enable.auto.commit": False, "client.rack": "zone-1", **more})


def show(message):
    matrix.show(message.partition(), message.offset(), message.timestamp()[1], message.key(), message.value(),
                message.headers())


def consume(bootstrap, topic, count):
    c = consumer(bootstrap)
    partitions = c.list_topics(topic).topics[topic].partitions
    c.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in partitions])
    for _ in range(int(count)):
        message = c.poll(30)
        check(message is not None and not message.error(), message and message.error())
        show(message)
    at = c.offsets_for_times([TopicPartition(topic, 0, matrix.T0 + 6000)], 10)[0]
    check(at.offset == 2, f"offsets_for_times {at}")
    c.close()


def closest(bootstrap, topic):
    """All partitions come to be fetched from the broker in the consumer's zone, whoever leads them (KIP-392)."""
    fetched_from = {}

    def statistics(text):
        for p, facts in json.loads(text)["topics"].get(topic, {}).get("partitions", {}).items():
            if int(p) >= 0:
                fetched_from[p] = facts["broker"]
    c = consumer(bootstrap, **{"statistics.interval.ms": 200, "stats_cb": statistics})
    c.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in range(3)])
    deadline = time.monotonic() + 60
    while [fetched_from.get(str(p)) for p in range(3)] != [1, 1, 1]:
        check(time.monotonic() < deadline, f"fetched from {fetched_from}")
        c.poll(0.1)
    c.close()
    print("OK")


def group(bootstrap, topic, name, protocol="classic"):
    more = {"group.protocol": protocol} if protocol == "consumer" else {"session.timeout.ms": 10000}
    c = consumer(bootstrap, **{"group.id": name, **more})
    c.subscribe([topic])
    last = None
    while not select.select([sys.stdin], [], [], 0)[0]:
        message = c.poll(0.2)
        now = " ".join(["ASSIGNED", *(str(p) for p in sorted(t.partition for t in c.assignment()))])
        if now != last:
            print(now, flush=True)
            last = now
        if message is None:
            continue
        if message.error():
            check(message.error().retriable() or message.error().code() == KafkaError._PARTITION_EOF, message.error())
            continue
        show(message)
        c.commit(message, asynchronous=False)
    c.close()
    print("LEFT")


def admin(bootstrap, topic):
    a = AdminClient({"bootstrap.servers": bootstrap})
    a.create_topics([NewTopic(topic, 3, 3, config={"retention.ms": "3600000"})])[topic].result()
    check(len(a.list_topics(topic).topics[topic].partitions) == 3, "three partitions")
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[
        ConfigEntry("max.message.bytes", "200000", incremental_operation=AlterConfigOpType.SET)])
    list(a.incremental_alter_configs([resource]).values())[0].result()
    deadline = time.monotonic() + 20
    while True:  # any broker is asked, and learns of it a moment later
        configs = list(a.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]).values())[0].result()
        if configs["max.message.bytes"].value == "200000" or time.monotonic() > deadline:
            break
        time.sleep(0.02)
    check(configs["max.message.bytes"].value == "200000", configs["max.message.bytes"])
    check(configs["retention.ms"].value == "3600000", configs["retention.ms"])
    a.create_partitions([NewPartitions(topic, 5)])[topic].result()
    wanted = {TopicPartition(topic, 0): OffsetSpec.latest()}
    check(list(a.list_offsets(wanted).values())[0].result().offset == 0, "offsets")
    list(a.delete_records([TopicPartition(topic, 0, 0)]).values())[0].result()
    check(len(a.describe_cluster().result().nodes) == 3, "three brokers")
    a.delete_topics([topic])[topic].result()
    print("OK")


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
