"""kafka-python: one command of the matrix. See ../README.md."""
import select
import sys

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions, NewTopic
import matrix
from matrix import check


def produce(bootstrap, topic, codecs, count):
    for codec, numbers in matrix.batches(codecs, int(count)):
        producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=20,
                                 compression_type=None if codec == "none" else codec)
        sent = [producer.send(topic, partition=i % 3, key=matrix.key(i), value=matrix.value(i),
                              headers=matrix.headers(i), timestamp_ms=matrix.T0 + i * 1000) for i in numbers]
        for s in sent:
            s.get(30)
        producer.close()
    print("OK")


def show(r):
    matrix.show(r.partition, r.offset, r.timestamp, r.key, r.value, r.headers)


def consume(bootstrap, topic, count):
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest", consumer_timeout_ms=30000)
    all_partitions = [TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic)]
    consumer.assign(all_partitions)
    consumer.seek_to_beginning()
    for _ in range(int(count)):
        show(next(consumer))
    at = consumer.offsets_for_times({TopicPartition(topic, 0): matrix.T0 + 6000})[TopicPartition(topic, 0)]
    check(at.offset == 2, f"offsets_for_times {at}")
    consumer.close()


def group(bootstrap, topic, name):
    consumer = KafkaConsumer(topic, bootstrap_servers=bootstrap, group_id=name, auto_offset_reset="earliest",
                             enable_auto_commit=False, session_timeout_ms=10000, heartbeat_interval_ms=500)
    last = None
    while not select.select([sys.stdin], [], [], 0)[0]:
        records = consumer.poll(200)
        now = " ".join(["ASSIGNED", *(str(p) for p in sorted(t.partition for t in consumer.assignment()))])
        if now != last:
            print(now, flush=True)
            last = now
        for batch in records.values():
            for r in batch:
                show(r)
        if records:
            consumer.commit()
    consumer.close()
    print("LEFT")


def admin(bootstrap, topic):
    a = KafkaAdminClient(bootstrap_servers=bootstrap)
    a.create_topics([NewTopic(topic, 3, 3, topic_configs={"retention.ms": "3600000"})])
    check(topic in a.list_topics(), "listed")
    described = a.describe_topics([topic])
    check(len(described[0]["partitions"]) == 3, described)
    a.create_partitions({topic: NewPartitions(5)})
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    check("3600000" in str(a.describe_configs([resource])), "configs")
    check(len(a.describe_cluster()["brokers"]) == 3, "three brokers")
    a.delete_topics([topic])
    a.close()
    print("OK")


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
