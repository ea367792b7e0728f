"""One member of a group, as a process of its own so that it can be killed.

usage: member.py LIBRARY BROKERS GROUP TOPIC [KEY=VALUE...]

LIBRARY is librdkafka, kafka-python or aiokafka; KEY=VALUE are settings of librdkafka. Every line on
stdout is one event: "assigned P,P", "revoked P,P" (lost ones too) or "record P OFFSET VALUE"; what
was printed is committed afterwards. SIGTERM closes the member in order.
"""
import asyncio
import signal
import sys

stopping = False


def stop(*_):
    global stopping
    stopping = True


def say(*words):
    print(*words, flush=True)


def numbers(partitions):
    return ",".join(str(p.partition) for p in partitions)


def librdkafka(brokers, group, topic, settings):
    from confluent_kafka import Consumer, KafkaException
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": group,
                         "auto.offset.reset": "earliest", "enable.auto.commit": False, **settings})
    consumer.subscribe([topic], on_assign=lambda _, p: say("assigned", numbers(p)),
                       on_revoke=lambda _, p: say("revoked", numbers(p)),
                       on_lost=lambda _, p: say("revoked", numbers(p)))
    uncommitted = False
    while not stopping:
        messages = consumer.consume(500, 0.1)
        for message in messages:
            if message.error():
                continue
            say("record", message.partition(), message.offset(), message.value().decode())
            uncommitted = True
        if uncommitted:
            try:
                consumer.commit(asynchronous=False)
                uncommitted = False
            except KafkaException as error:
                print("commit:", error, file=sys.stderr, flush=True)
    consumer.close()


def kafka_python(brokers, group, topic, settings):
    import kafka
    from kafka.errors import KafkaError

    class Listener(kafka.ConsumerRebalanceListener):
        def on_partitions_assigned(self, assigned):
            say("assigned", numbers(assigned))

        def on_partitions_revoked(self, revoked):
            say("revoked", numbers(revoked))

    consumer = kafka.KafkaConsumer(bootstrap_servers=brokers.split(","), group_id=group,
                                   auto_offset_reset="earliest", enable_auto_commit=False,
                                   session_timeout_ms=6000, heartbeat_interval_ms=500)
    consumer.subscribe([topic], listener=Listener())
    while not stopping:
        polled = consumer.poll(timeout_ms=100)
        for records in polled.values():
            for record in records:
                say("record", record.partition, record.offset, record.value.decode())
        if polled:
            try:
                consumer.commit()
            except KafkaError as error:
                print("commit:", error, file=sys.stderr, flush=True)
    consumer.close()


async def aiokafka(brokers, group, topic, settings):
    import aiokafka
    from aiokafka.errors import KafkaError

    class Listener(aiokafka.ConsumerRebalanceListener):
        async def on_partitions_assigned(self, assigned):
            say("assigned", numbers(assigned))

        async def on_partitions_revoked(self, revoked):
            say("revoked", numbers(revoked))

    consumer = aiokafka.AIOKafkaConsumer(bootstrap_servers=brokers, group_id=group,
                                         auto_offset_reset="earliest", enable_auto_commit=False,
                                         session_timeout_ms=6000, heartbeat_interval_ms=500)
    consumer.subscribe([topic], listener=Listener())
    await consumer.start()
    while not stopping:
        polled = await consumer.getmany(timeout_ms=100)
        for records in polled.values():
            for record in records:
                say("record", record.partition, record.offset, record.value.decode())
        if polled:
            try:
                await consumer.commit()
            except KafkaError as error:
                print("commit:", error, file=sys.stderr, flush=True)
    await consumer.stop()


def main():
    signal.signal(signal.SIGTERM, stop)
    library, *arguments = sys.argv[1:]
    brokers, group, topic, *pairs = arguments
    settings = dict(pair.split("=", 1) for pair in pairs)
    if library == "librdkafka":
        librdkafka(brokers, group, topic, settings)
    elif library == "kafka-python":
        kafka_python(brokers, group, topic, settings)
    else:
        asyncio.run(aiokafka(brokers, group, topic, settings))


main()
