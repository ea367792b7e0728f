"""aiokafka: one command of the matrix. See ../README.md."""
import asyncio
import select
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
import matrix
from matrix import check


async def produce(bootstrap, topic, codecs, count):
    for codec, numbers in matrix.batches(codecs, int(count)):
        producer = AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=20, enable_idempotence=True,
                                    compression_type=None if codec == "none" else codec)
        await producer.start()
        sent = [await producer.send(topic, partition=i % 3, key=matrix.key(i), value=matrix.value(i),
                                    headers=matrix.headers(i), timestamp_ms=matrix.T0 + i * 1000) for i in numbers]
        await asyncio.gather(*sent)
        await producer.stop()
    print("OK")


def show(r):
    matrix.show(r.partition, r.offset, r.timestamp, r.key, r.value, r.headers)


async def consume(bootstrap, topic, count):
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    consumer.assign([TopicPartition(topic, p) for p in range(3)])
    await consumer.seek_to_beginning()
    for _ in range(int(count)):
        show(await asyncio.wait_for(consumer.getone(), 30))
    at = (await consumer.offsets_for_times({TopicPartition(topic, 0): matrix.T0 + 6000}))[TopicPartition(topic, 0)]
    check(at.offset == 2, f"offsets_for_times {at}")
    await consumer.stop()


async def group(bootstrap, topic, name):
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, group_id=name, auto_offset_reset="earliest",
                                enable_auto_commit=False, session_timeout_ms=10000, heartbeat_interval_ms=500)
    await consumer.start()
    last = None
    while not select.select([sys.stdin], [], [], 0)[0]:
        records = await consumer.getmany(timeout_ms=200)
        now = " ".join(["ASSIGNED", *(str(p) for p in sorted(t.partition for t in consumer.assignment()))])
        if now != last:
            print(now, flush=True)
            last = now
        for batch in records.values():
            for r in batch:
                show(r)
        if records:
            await consumer.commit()
    await consumer.stop()
    print("LEFT")


async def admin(bootstrap, topic):
    a = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await a.start()
    await a.create_topics([NewTopic(topic, 3, 3, topic_configs={"retention.ms": "3600000"})])
    check(topic in await a.list_topics(), "listed")
    await a.create_partitions({topic: NewPartitions(5)})
    check(len((await a.describe_topics([topic]))[0]["partitions"]) == 5, "five partitions")
    described = await a.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    check("3600000" in str(described), "configs")
    await a.delete_topics([topic])
    await a.close()
    print("OK")


if __name__ == "__main__":
    asyncio.run(globals()[sys.argv[1]](*sys.argv[2:]))
