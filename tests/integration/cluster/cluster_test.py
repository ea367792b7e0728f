"""Three brokers and a coordinator on loopback, real clients, real faults.

Every test prints one line; the last line is "N passed, N failed". A history checker holds what was
acknowledged against what is read: nothing lost, nothing twice, each key in order.
"""
import collections
import json
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource,
                                   NewTopic, ResourceType)

ROOT = pathlib.Path(__file__).resolve().parents[3]
BIN = pathlib.Path(os.environ.get("SLUICE_BIN", ROOT / "build/release/bin"))
BROKERS = 3


class Cluster:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="sluice-it-")
        self.env = {}
        self.up()

    def loopback(self, *args):
        done = subprocess.run([ROOT / "deploy/loopback", *args], capture_output=True, text=True,
                              env={**os.environ, "SLUICE_BIN": str(BIN)})
        if done.returncode != 0:
            raise AssertionError(f"loopback {args}: {done.stdout}{done.stderr}")
        return done.stdout

    def up(self):
        for line in self.loopback("up", self.dir, str(BROKERS)).splitlines():
            name, _, value = line.partition("=")
            self.env[name] = value

    def down(self):
        self.loopback("down", self.dir)

    def pid(self, name):
        return int(pathlib.Path(self.dir, name, "pid").read_text())

    def kill(self, name, sig=signal.SIGKILL):
        os.kill(self.pid(name), sig)

    def start(self, name):
        self.loopback("start", self.dir, name)

    def wait_gone(self, name):
        pid = self.pid(name)
        wait_for(lambda: not alive(pid), f"{name} to end", 30)

    @property
    def kafka(self):
        return self.env["KAFKA"]

    def sluice(self, *args, stdin=None, check=True):
        done = subprocess.run([BIN / "sluice", "--broker", self.env["GRPC"].split(",")[0], *args],
                              input=stdin, capture_output=True, text=True, timeout=120)
        if check and done.returncode != 0:
            raise AssertionError(f"sluice {args}: {done.stdout}{done.stderr}")
        return done


def alive(pid):
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_for(condition, what, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(0.05)


def create(cluster, name, partitions=3, replication=3, **config):
    admin = AdminClient({"bootstrap.servers": cluster.kafka})
    config = {key.replace("_", "."): value for key, value in config.items()}
    admin.create_topics([NewTopic(name, partitions, replication, config=config)])[name].result(30)
    return admin


class Load(threading.Thread):
    """An idempotent producer that counts what was acknowledged, until stopped."""

    def __init__(self, cluster, topic, keys=50, pause_s=0.0005, count=None):
        super().__init__(daemon=True)
        self.producer = Producer({"bootstrap.servers": cluster.kafka, "acks": "all",
                                  "enable.idempotence": True, "linger.ms": 2,
                                  "message.timeout.ms": 60000, "socket.timeout.ms": 5000})
        self.topic, self.keys, self.pause_s, self.count = topic, keys, pause_s, count
        self.acked = []          # (key, sequence) in order of acknowledgement
        self.ack_times = []
        self.errors = []
        self.stopping = threading.Event()

    def delivered(self, error, message):
        if error:
            self.errors.append(str(error))
        else:
            self.acked.append((message.key(), int(message.value())))
            self.ack_times.append(time.monotonic())

    def run(self):
        sequence = 0
        while not self.stopping.is_set() and (self.count is None or sequence < self.count):
            key = str(sequence % self.keys)
            try:
                self.producer.produce(self.topic, key=key, value=str(sequence),
                                      callback=self.delivered)
                sequence += 1
            except BufferError:
                pass
            self.producer.poll(self.pause_s)
        self.producer.flush(60)

    def stop(self):
        self.stopping.set()
        self.join(90)
        assert not self.is_alive(), "the producer did not finish"

    def longest_gap_after(self, moment):
        times = [t for t in self.ack_times if t >= moment]
        return times[0] - moment if times else float("inf")


def read_all(cluster, topic):
    """Every committed record: {partition: [(key, value), ...]} in offset order."""
    consumer = Consumer({"bootstrap.servers": cluster.kafka, "group.id": "unused",
                         "enable.auto.commit": False, "auto.offset.reset": "earliest",
                         "enable.partition.eof": True})
    try:
        metadata = consumer.list_topics(topic, timeout=20)
        partitions = sorted(metadata.topics[topic].partitions)
        consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
        records, ended = {p: [] for p in partitions}, set()
        end = time.monotonic() + 60
        while len(ended) < len(partitions):
            assert time.monotonic() < end, f"read only {ended} of {partitions} to their ends"
            message = consumer.poll(1)
            if message is None:
                continue
            if message.error():
                if message.error().code() == -191:  # _PARTITION_EOF
                    ended.add(message.partition())
                    continue
                raise KafkaException(message.error())
            ended.discard(message.partition())
            records[message.partition()].append((message.key(), message.value()))
        return records
    finally:
        consumer.close()


def check_history(cluster, load):
    """Nothing acknowledged is missing, nothing is there twice, each key is in order."""
    assert not load.errors, f"{len(load.errors)} errors, the first: {load.errors[0]}"
    seen, last = collections.Counter(), {}
    for records in read_all(cluster, load.topic).values():
        for key, value in records:
            sequence = int(value)
            seen[(key, sequence)] += 1
            assert last.get(key, -1) < sequence, f"key {key}: {sequence} after {last[key]}"
            last[key] = sequence
    missing = [r for r in load.acked if r not in seen]
    twice = [r for r, n in seen.items() if n > 1]
    assert not missing, f"{len(missing)} acknowledged records are missing, the first: {missing[0]}"
    assert not twice, f"{len(twice)} records are stored twice, the first: {twice[0]}"
    assert load.acked, "nothing was acknowledged"


# ---- tests -------------------------------------------------------------------------------------

def test_codecs_and_headers(cluster):
    create(cluster, "codecs")
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        producer = Producer({"bootstrap.servers": cluster.kafka, "compression.type": codec,
                             "acks": "all"})
        for i in range(50):
            producer.produce("codecs", key=codec, value=f"{codec}-{i}" * 20,
                             headers=[("h", codec.encode())], timestamp=1_700_000_000_000 + i)
        assert producer.flush(20) == 0
    records = [r for part in read_all(cluster, "codecs").values() for r in part]
    assert len(records) == 250, len(records)


def test_kcat(cluster):
    create(cluster, "kcat")
    lines = "".join(f"k{i % 7}\tv{i}\n" for i in range(500))
    subprocess.run(["kcat", "-P", "-b", cluster.kafka, "-t", "kcat", "-K\t", "-X",
                    "enable.idempotence=true"], input=lines, text=True, check=True, timeout=60)
    out = subprocess.run(["kcat", "-C", "-e", "-q", "-o", "beginning", "-b", cluster.kafka, "-t",
                          "kcat", "-f", "%k\t%s\n"], capture_output=True, text=True, check=True,
                         timeout=60).stdout
    assert sorted(out.splitlines()) == sorted(lines.splitlines())


def test_both_doors_show_the_same(cluster):
    create(cluster, "doors", partitions=4)
    stdin = "".join(f"key{i % 9}\tg{i}\n" for i in range(300))
    cluster.sluice("produce", "doors", "--key-separator", "\t", stdin=stdin)
    load = Load(cluster, "doors", count=300)
    load.start()
    load.join(60)
    by_kafka = read_all(cluster, "doors")
    out = cluster.sluice("consume", "doors", "--from-beginning", "--until-end", "-o", "json").stdout
    by_grpc = collections.defaultdict(list)
    for line in out.splitlines():
        record = json.loads(line)
        by_grpc[record["shard"]].append((record["key"].encode(), record["value"].encode()))
    assert {p: r for p, r in by_kafka.items() if r} == dict(by_grpc)
    assert sum(len(r) for r in by_kafka.values()) == 600


def test_kill_each_broker_under_load(cluster):
    create(cluster, "kills", partitions=6)
    load = Load(cluster, "kills")
    load.start()
    wait_for(lambda: len(load.acked) > 200, "the first acknowledgements")
    gaps = []
    for i in range(BROKERS):
        name = f"broker-{i}"
        moment = time.monotonic()
        cluster.kill(name)
        before = len(load.acked)
        wait_for(lambda: len(load.acked) > before + 500, f"records to flow without {name}")
        gaps.append(load.longest_gap_after(moment + 0.05))
        cluster.start(name)
        before = len(load.acked)
        wait_for(lambda: len(load.acked) > before + 500, f"records to flow with {name} again")
    load.stop()
    print("     first acknowledgement after each kill: " + ", ".join(f"{g:.2f} s" for g in gaps))
    check_history(cluster, load)


def test_paused_broker_is_replaced(cluster):
    create(cluster, "paused", partitions=6)
    load = Load(cluster, "paused")
    load.start()
    wait_for(lambda: len(load.acked) > 200, "the first acknowledgements")
    cluster.kill("broker-1", signal.SIGSTOP)
    try:
        before = set(range(6))
        def others_lead():
            admin = AdminClient({"bootstrap.servers": cluster.kafka})
            try:
                parts = admin.list_topics("paused", timeout=5).topics["paused"].partitions
            except KafkaException:
                return False
            return all(p.leader in (0, 2) for p in parts.values()) and before
        wait_for(others_lead, "others to lead", 40)
    finally:
        cluster.kill("broker-1", signal.SIGCONT)
    load.stop()
    check_history(cluster, load)


def test_graceful_stop_moves_leadership_first(cluster):
    create(cluster, "graceful", partitions=6)
    load = Load(cluster, "graceful")
    load.start()
    wait_for(lambda: len(load.acked) > 200, "the first acknowledgements")
    for i in range(BROKERS):
        cluster.kill(f"broker-{i}", signal.SIGTERM)
        cluster.wait_gone(f"broker-{i}")
        cluster.start(f"broker-{i}")
    load.stop()
    check_history(cluster, load)


def test_produce_goes_on_without_the_coordinator(cluster):
    create(cluster, "alone")
    load = Load(cluster, "alone")
    load.start()
    wait_for(lambda: len(load.acked) > 100, "the first acknowledgements")
    cluster.kill("coordinator")
    try:
        before = len(load.acked)
        wait_for(lambda: len(load.acked) > before + 2000, "records to flow without a coordinator")
    finally:
        cluster.start("coordinator")
    # Three copies need three brokers, and those register one after another.
    def all_are_back():
        status = json.loads(cluster.sluice("cluster", "status", "-o", "json").stdout)
        return sum(bool(b.get("alive")) for b in status["brokers"]) == BROKERS
    wait_for(all_are_back, "all brokers to register again")
    create(cluster, "alone-again")
    load.stop()
    check_history(cluster, load)


def test_power_cycle_of_everything(cluster):
    create(cluster, "cycle", partitions=6)
    load = Load(cluster, "cycle", count=3000)
    load.start()
    load.join(60)
    for name in ("broker-0", "broker-1", "broker-2", "coordinator"):
        cluster.kill(name)
    cluster.up()
    check_history(cluster, load)
    more = Load(cluster, "cycle", count=10)
    more.start()
    more.join(60)
    assert len(more.acked) == 10, more.errors


def test_memory_stream_loses_nothing_with_a_minority(cluster):
    create(cluster, "memory", partitions=6, sluice_durability="memory")
    load = Load(cluster, "memory")
    load.start()
    wait_for(lambda: len(load.acked) > 200, "the first acknowledgements")
    for i in range(BROKERS):
        before = len(load.acked)
        cluster.kill(f"broker-{i}")
        wait_for(lambda: len(load.acked) > before + 100, "acknowledgements without a broker")
        cluster.start(f"broker-{i}")
        wait_whole(cluster, "memory")
    load.stop()
    check_history(cluster, load)


def wait_whole(cluster, topic):
    """Until every replica is in sync: only then may the next one be killed."""
    admin = AdminClient({"bootstrap.servers": cluster.kafka})

    def whole():
        partitions = admin.list_topics(topic, timeout=20).topics[topic].partitions.values()
        return all(len(p.isrs) == BROKERS and p.leader >= 0 for p in partitions)
    wait_for(whole, "all replicas to be in sync", 60)


def test_memory_stream_keeps_a_prefix_when_all_are_killed(cluster):
    create(cluster, "memory-all", partitions=1, sluice_durability="memory")
    load = Load(cluster, "memory-all", count=2000, pause_s=0)
    load.start()
    load.join(60)
    for name in ("broker-0", "broker-1", "broker-2"):
        cluster.kill(name)
    cluster.up()
    wait_whole(cluster, "memory-all")
    kept = [(key, int(value)) for key, value in read_all(cluster, "memory-all")[0]]
    assert len(load.acked) == 2000, load.errors
    assert kept == load.acked[:len(kept)], "not a prefix of what was acknowledged"
    more = Load(cluster, "memory-all", count=10)
    more.start()
    more.join(60)
    assert len(more.acked) == 10, more.errors
    assert len(read_all(cluster, "memory-all")[0]) == len(kept) + 10


def test_durability_is_said_and_fixed(cluster):
    cluster.sluice("stream", "create", "fast", "--durability", "memory")
    described = json.loads(cluster.sluice("stream", "describe", "fast", "-o", "json").stdout)
    assert described["durability"] == "memory", described
    done = json.loads(cluster.sluice("produce", "fast", "-o", "json", stdin="a\n").stdout)
    assert done == {"stored": 1, "failed": 0, "durability": "memory"}, done
    admin = create(cluster, "safe")
    for topic, durability in (("fast", "memory"), ("safe", "synced")):
        resource = ConfigResource(ResourceType.TOPIC, topic)
        entry = admin.describe_configs([resource])[resource].result(20)["sluice.durability"]
        assert entry.value == durability and entry.is_read_only, (topic, entry)
        for value, refused in ((durability, False), ("memory" if topic == "safe" else "synced", True)):
            change = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[
                ConfigEntry("sluice.durability", value, incremental_operation=AlterConfigOpType.SET)])
            try:
                admin.incremental_alter_configs([change])[change].result(20)
                assert not refused, f"{topic} was changed to {value}"
            except KafkaException as error:
                assert refused and "fixed at a topic's creation" in str(error), error
    bad = cluster.sluice("stream", "create", "odd", "--durability", "none", check=False)
    assert bad.returncode != 0 and "synced or memory" in bad.stderr, bad


def test_elastic_stream_splits_and_merges_under_load(cluster):
    cluster.sluice("stream", "create", "elastic", "--mode", "elastic", "--min-shards", "1",
                   "--max-shards", "8")
    try:
        Producer({"bootstrap.servers": cluster.kafka})
        refused = []
        producer = Producer({"bootstrap.servers": cluster.kafka, "message.timeout.ms": 5000})
        producer.produce("elastic", value="x", callback=lambda e, m: refused.append(e))
        producer.flush(10)
        assert refused and refused[0] is not None and refused[0].code() == 44, refused  # POLICY
    finally:
        pass
    total = 6000
    lines = "".join(f"k{i % 40}\t{i}\n" for i in range(total))
    producing = subprocess.Popen([BIN / "sluice", "--broker", cluster.env["GRPC"].split(",")[0],
                                  "produce", "elastic", "--key-separator", "\t"],
                                 stdin=subprocess.PIPE, text=True, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE)
    def feed():
        for start in range(0, len(lines), 2000):
            producing.stdin.write(lines[start:start + 2000])
            producing.stdin.flush()
            time.sleep(0.02)
        producing.stdin.close()
    feeder = threading.Thread(target=feed)
    feeder.start()
    cluster.sluice("shard", "split", "elastic", "0", "--into", "2")
    cluster.sluice("shard", "split", "elastic", "1", "--into", "2")
    cluster.sluice("shard", "merge", "elastic", "3", "4")
    feeder.join(60)
    assert producing.wait(60) == 0, producing.stderr.read()
    out = cluster.sluice("consume", "elastic", "--from-beginning", "--until-end", "-o",
                         "json").stdout
    last, count = {}, 0
    for line in out.splitlines():
        record = json.loads(line)
        value = int(record["value"])
        assert last.get(record["key"], -1) < value, f"{record['key']}: {value} out of order"
        last[record["key"]] = value
        count += 1
    assert count == total, f"{count} of {total}"


def test_a_shard_is_moved_and_led_where_it_is_wanted(cluster):
    create(cluster, "moved", 1, 2)

    def shard():
        return json.loads(cluster.sluice("stream", "describe", "moved", "-o", "json").stdout)["shards"][0]

    load = Load(cluster, "moved")
    load.start()
    before = shard()["replicas"]
    empty = next(id for id in range(BROKERS) if id not in before)
    refused = cluster.sluice("move", "moved", "0", "--from", str(empty), "--to", str(before[0]), check=False)
    assert refused.returncode != 0 and f"--from {empty}" in refused.stderr, refused
    refused = cluster.sluice("move", "moved", "0", "--leader", str(empty), check=False)
    assert refused.returncode != 0 and "holds no copy" in refused.stderr, refused
    moved = json.loads(cluster.sluice("move", "moved", "0", "--from", str(before[0]), "--to", str(empty),
                                      "--leader", str(empty), "-o", "json").stdout)
    assert sorted(moved["brokers"]) == sorted([empty, before[1]]) and moved["leader"] == empty, moved
    back = json.loads(cluster.sluice("move", "moved", "0", "--leader", str(before[1]), "-o", "json").stdout)
    assert back["leader"] == before[1], back
    # What an administrator wants is left alone until it is taken back.
    assert json.loads(cluster.sluice("move", "moved", "0", "--automatic", "-o", "json").stdout)["wanted"] == []
    load.stopping.set()
    load.join(60)
    check_history(cluster, load)


def test_bad_frames_do_not_end_a_broker(cluster):
    host, port = cluster.kafka.split(",")[0].split(":")
    frames = [struct.pack(">i", 0x7fffffff), struct.pack(">i", -5), struct.pack(">ihhi", 8, 999, 0, 1),
              struct.pack(">ihhih", 10, 0, 99, 1, -1), b"GET / HTTP/1.1\r\n\r\n",
              struct.pack(">ihhihi", 14, 3, 12, 1, -1, 0x7fffffff), os.urandom(4096)]
    for frame in frames:
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(frame)
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(10)
            try:
                while connection.recv(4096):
                    pass
            except (ConnectionResetError, socket.timeout):
                pass
    load = Load(cluster, "codecs", count=5)
    load.start()
    load.join(30)
    assert len(load.acked) == 5, load.errors


def test_clear_errors(cluster):
    admin = AdminClient({"bootstrap.servers": cluster.kafka})
    for topic, needle in ((NewTopic("too-many-copies", 1, 9), "replication"),
                          (NewTopic("codecs", 1, 3), "exist")):
        try:
            admin.create_topics([topic])[topic.topic].result(20)
            raise AssertionError("it was accepted")
        except KafkaException as error:
            assert needle in str(error).lower(), error
    missing = cluster.sluice("stream", "describe", "no-such-stream", check=False)
    assert missing.returncode != 0 and "no-such-stream" in missing.stderr, missing


def main():
    tests = [f for name, f in globals().items() if name.startswith("test_")]
    wanted = sys.argv[1:]
    cluster, passed, failed = Cluster(), 0, 0
    try:
        for test in tests:
            if wanted and test.__name__ not in wanted:
                continue
            began = time.monotonic()
            try:
                test(cluster)
                passed += 1
                print(f"ok   {test.__name__} ({time.monotonic() - began:.1f}s)", flush=True)
            except Exception:  # reported, and the next test runs
                failed += 1
                print(f"FAIL {test.__name__}\n{traceback.format_exc()}", flush=True)
                cluster.up()
    finally:
        cluster.down()
        if failed:
            print(f"logs: {cluster.dir}")
        else:
            shutil.rmtree(cluster.dir)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
