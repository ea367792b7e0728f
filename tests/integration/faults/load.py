"""Clients under faults, and the history of what they did and saw."""
import json
import sys
import threading
import time
import traceback
import urllib.request

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from history import check
from nodes import wait_for


class Load:
    """Idempotent producers and a consumer on one topic. Every producer has keys of its own."""
    unfinished = []

    def __init__(self, cluster, topic, partitions=6, producers=2, pause_s=0.001, config=None):
        self.cluster, self.topic, self.partitions = cluster, topic, partitions
        self.pause_s = pause_s
        self.events, self.lock = [], threading.Lock()
        self.acknowledged, self.problems = 0, []
        self.stopping, self.has_read = threading.Event(), threading.Event()
        create_topic(cluster, topic, partitions, config)
        Load.unfinished.append(self)
        self.threads = [threading.Thread(target=self.produce, args=(n,), name=f"producer {n}", daemon=True) for n in range(producers)]
        self.reader = threading.Thread(target=self.consume, name="consumer", daemon=True)
        for thread in (*self.threads, self.reader):
            thread.start()

    def add(self, **event):
        with self.lock:
            self.events.append(event)

    def produce(self, number):
        producer = Producer({"bootstrap.servers": self.cluster.kafka, "acks": "all", "enable.idempotence": True,
                             "linger.ms": 2, "message.timeout.ms": 120_000, "socket.timeout.ms": 3000,
                             "request.timeout.ms": 3000, "reconnect.backoff.max.ms": 500, "log_level": 0,
                             "topic.metadata.refresh.interval.ms": 2000})
        sequence = 0

        def delivered(error, message):
            id = message.value().decode().rstrip()
            if error:
                self.add(type="fail", id=id, error=str(error))
                return
            offset = message.offset()   # none when the broker only said that it had it already
            self.add(type="ack", id=id, partition=message.partition(), offset=-1 if offset is None else offset)
            self.acknowledged += 1
        while not self.stopping.is_set():
            key, id = f"p{number}-{sequence % 20}", f"p{number}-{sequence}"
            try:
                producer.produce(self.topic, key=key, value=id.ljust(200), callback=delivered)
                self.add(type="send", id=id, key=key, sequence=sequence)  # answers come while polling
                sequence += 1
            except BufferError:
                pass
            producer.poll(self.pause_s)
        left = producer.flush(125)
        if left:
            self.problems.append(f"producer {number} has {left} records that are neither acknowledged nor failed")

    def consume(self):
        consumer = make_consumer(self.cluster, eof=False)
        partitions = [TopicPartition(self.topic, p, 0) for p in range(self.partitions)]
        consumer.assign(partitions)
        while not self.stopping.is_set():
            message = consumer.poll(0.1)
            if message is None:
                continue
            if message.error():
                if message.error().code() == KafkaError._AUTO_OFFSET_RESET:
                    self.problems.append(f"a consumer's offset is gone: {message.error()}")
                continue
            self.add(type="read", partition=message.partition(), offset=message.offset(),
                     id=message.value().decode().rstrip())
            _, high = consumer.get_watermark_offsets(TopicPartition(self.topic, message.partition()), cached=True)
            if high >= 0:
                self.add(type="watermark", partition=message.partition(), high=high)
        self.has_read.set()
        consumer.close()

    def wait_acknowledged(self, more, why, seconds=40):
        goal = self.acknowledged + more
        wait_for(lambda: self.acknowledged >= goal, f"{more} acknowledgements {why}", seconds)

    def stop(self):
        """Until its clients have ended."""
        if self in Load.unfinished:
            Load.unfinished.remove(self)
        self.stopping.set()
        for thread in self.threads:
            thread.join(130)
            self.must_end(thread, not thread.is_alive())
        self.must_end(self.reader, self.has_read.wait(130))
        # The history is complete. librdkafka's close() has been seen to take minutes after many power cuts.
        self.reader.join(30)
        if self.reader.is_alive():
            print(f"     note: the consumer of {self.topic} has not closed within 30 s", flush=True)

    def must_end(self, thread, ended):
        if not ended:
            stack = "".join(traceback.format_stack(sys._current_frames()[thread.ident]))
            raise AssertionError(f"{thread.name} of {self.topic} does not end; it is at\n{stack}")

    @staticmethod
    def stop_all():
        """Asks all that have not finished to stop, without waiting. Which these are."""
        for load in Load.unfinished:
            load.stopping.set()
        return list(Load.unfinished)

    def finish(self):
        """Stops, reads everything and checks it. The number of acknowledged records."""
        self.stop()
        self.events += read_all(self.cluster, self.topic, self.partitions)
        wrong = self.problems + check(self.events)
        failed = [e for e in self.events if e["type"] == "fail"]
        if failed:
            wrong.append(f"{len(failed)} records were given up, the first: {failed[0]['error']}")
        if not self.acknowledged:
            wrong.append("nothing was acknowledged")
        if wrong:
            path = self.cluster.dir / f"{self.topic}.jsonl"
            with open(path, "w", encoding="utf-8") as file:
                file.writelines(json.dumps(e) + "\n" for e in self.events)
            raise AssertionError(f"{len(wrong)} faults in the history ({path}): " + "; ".join(wrong[:5]))
        return self.acknowledged


def make_consumer(cluster, eof):
    return Consumer({"bootstrap.servers": cluster.kafka, "group.id": "unused", "enable.auto.commit": False,
                     "auto.offset.reset": "error", "enable.partition.eof": eof, "socket.timeout.ms": 5000,
                     "reconnect.backoff.max.ms": 500, "topic.metadata.refresh.interval.ms": 2000, "log_level": 0,
                     "fetch.wait.max.ms": 50})


def create_topic(cluster, topic, partitions, config=None):
    admin = AdminClient({"bootstrap.servers": cluster.kafka, "log_level": 0})
    admin.create_topics([NewTopic(topic, partitions, min(3, cluster.size), config=config or {})])[topic].result(60)


def delete_topic(cluster, topic):
    admin = AdminClient({"bootstrap.servers": cluster.kafka, "log_level": 0})
    admin.delete_topics([topic])[topic].result(60)


def watermarks(consumer, topic, partition):
    try:
        return consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
    except KafkaException:
        return None   # not known, or not led, yet


def read_all(cluster, topic, partitions, seconds=60, written=False):
    """Everything from each log's start to its end, as `start` and `final` events. Where records are still
    `written` the end is where it was when the reader came to it: to be at all ends at once would be luck."""
    consumer = make_consumer(cluster, eof=True)
    events, ended, end = [], set(), time.monotonic() + seconds
    try:
        places = []
        for p in range(partitions):
            low, _ = wait_for(lambda: watermarks(consumer, topic, p), f"the bounds of partition {p}", seconds)
            events.append({"type": "start", "partition": p, "offset": low})
            places.append(TopicPartition(topic, p, low))
        consumer.assign(places)
        while len(ended) < partitions:
            if time.monotonic() > end:
                raise AssertionError(f"only partitions {sorted(ended)} of {partitions} could be read to their ends")
            message = consumer.poll(1)
            if message is None:
                continue
            if message.error():
                if message.error().code() == KafkaError._PARTITION_EOF:
                    ended.add(message.partition())
                    continue
                if message.error().code() == KafkaError._AUTO_OFFSET_RESET:
                    raise KafkaException(message.error())
                continue
            if not written:
                ended.discard(message.partition())
            events.append({"type": "final", "partition": message.partition(), "offset": message.offset(),
                           "id": message.value().decode().rstrip()})
        return events
    finally:
        consumer.close()


def topic_state(cluster, topic):
    """{partition: (leader, live brokers)}, as some broker tells it; empty when none answers."""
    admin = AdminClient({"bootstrap.servers": cluster.kafka, "log_level": 0, "socket.timeout.ms": 3000})
    try:
        found = admin.list_topics(topic, timeout=5).topics[topic].partitions
    except KafkaException:
        return {}
    return {p: (m.leader, sorted(m.isrs)) for p, m in found.items()}


def gauge(broker, name):
    """The sum of a metric's series; none when the broker does not answer."""
    try:
        with urllib.request.urlopen(f"http://{broker.address}:9644/metrics", timeout=3) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return None
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.split("{")[0].split(" ")[0] == name)


def wait_in_sync(cluster, topic, seconds=60):
    """Until every shard of the cluster is led and has all its copies, as their leaders tell."""
    admin = AdminClient({"bootstrap.servers": cluster.kafka, "log_level": 0, "socket.timeout.ms": 3000})

    def complete():
        try:
            shards = sum(len(t.partitions) for t in admin.list_topics(timeout=5).topics.values())
        except KafkaException:
            return False
        lacking = [gauge(b, "sluice_broker_under_replicated_shards") for b in cluster.brokers]
        leaders = [gauge(b, "sluice_broker_leaders") for b in cluster.brokers]
        return None not in lacking + leaders and sum(lacking) == 0 and sum(leaders) == shards
    wait_for(complete, f"every copy of {topic} and of the other streams to be in sync", seconds, pause=0.2)
