"""A cluster of one version becomes one of another, broker by broker, and again what it was, while clients
of every kind go on. What they did and saw is checked as under faults: nothing lost, moved, stored twice or
out of order, no high watermark that goes back.  usage: skew.py OLD_BINARIES NEW_BINARIES
"""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback

from confluent_kafka import Consumer

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.append(str(ROOT / "tests/integration/faults"))
from load import Load, topic_state  # noqa: E402
from nodes import wait_for  # noqa: E402

BROKERS = ("broker-0", "broker-1", "broker-2")
RECORDS = 500  # acknowledged in every state of the cluster


class Cluster:
    """deploy/loopback, each process by the binaries of its version."""
    size = len(BROKERS)

    def __init__(self, binaries):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="sluice-skew-"))
        self.binaries = binaries
        self.env = dict(line.split("=", 1) for line in self.loopback("up", self.dir, self.size).splitlines())
        self.kafka = self.env["KAFKA"]

    def loopback(self, *args):
        done = subprocess.run([ROOT / "deploy/loopback", *map(str, args)], capture_output=True, text=True,
                              env={**os.environ, "SLUICE_BIN": str(self.binaries)})
        assert done.returncode == 0, f"loopback {args}: {done.stdout}{done.stderr}"
        return done.stdout

    def restart(self, name, binaries, kill=False):
        pid = int((self.dir / name / "pid").read_text())
        os.kill(pid, signal.SIGKILL if kill else signal.SIGTERM)
        wait_for(lambda: not pathlib.Path(f"/proc/{pid}").exists() or
                 ") Z " in pathlib.Path(f"/proc/{pid}/stat").read_text(), f"{name} to end", 60)
        self.binaries = binaries
        self.loopback("start", self.dir, name)

    def sluice(self, *args, stdin=None):
        done = subprocess.run([self.binaries / "sluice", "--broker", self.env["GRPC"].split(",")[0], *args],
                              input=stdin, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"sluice {args}: {done.stdout}{done.stderr}"
        return done.stdout


class Group(threading.Thread):
    """A consumer group that commits what it has read; it must never read a partition's record again but
    for what it had not committed when its coordinator went."""

    def __init__(self, cluster, topic):
        super().__init__(daemon=True)
        self.cluster, self.topic = cluster, topic
        self.committed, self.stopping, self.problem = {}, threading.Event(), None
        self.start()

    def run(self):
        consumer = Consumer({"bootstrap.servers": self.cluster.kafka, "group.id": "skewed", "log_level": 0,
                             "auto.offset.reset": "earliest", "enable.auto.commit": False,
                             "socket.timeout.ms": 5000, "reconnect.backoff.max.ms": 500})
        consumer.subscribe([self.topic])
        while not self.stopping.is_set():
            message = consumer.poll(0.1)
            if message is None or message.error():
                continue
            before = self.committed.get(message.partition(), -1)
            if message.offset() < before:
                self.problem = f"offset {message.offset()} of partition {message.partition()} was read, {before} committed"
            try:
                consumer.commit(message, asynchronous=False)
                self.committed[message.partition()] = message.offset() + 1
            except Exception as error:  # its coordinator is on its way elsewhere: it is committed with a later one
                self.last_error = str(error)
        consumer.close()

    def total(self):
        return sum(self.committed.values())


def whole(cluster, topic):
    """Every shard has its leader and all its copies."""
    state = topic_state(cluster, topic)
    return bool(state) and all(leader >= 0 and len(isrs) == cluster.size for leader, isrs in state.values())


def go_on(cluster, load, group, where):
    load.wait_acknowledged(RECORDS, where, 120)
    goal = group.total() + 50
    wait_for(lambda: group.total() >= goal, f"the group to commit {where}", 120)
    for topic in ("skewed", "in-memory", "elastic"):
        wait_for(lambda: whole(cluster, topic), f"all copies of {topic} {where}", 120)
    value = f"by the native API {where}"
    cluster.sluice("produce", "elastic", "--key", "k", stdin=value + "\n")
    return value


def turn(old, new):
    cluster = Cluster(old)
    try:
        cluster.sluice("stream", "create", "elastic", "--mode", "elastic", "--shards", "2")
        load = Load(cluster, "skewed", partitions=6, pause_s=0.002)
        memory = Load(cluster, "in-memory", partitions=2, producers=1, pause_s=0.002,
                      config={"sluice.durability": "memory"})
        group = Group(cluster, "skewed")
        said = [go_on(cluster, load, group, "before anything changed")]
        for binaries, what in ((new, "upgraded"), (old, "taken back"), (new, "upgraded again")):
            for number, name in enumerate(BROKERS):
                # The last round without a word: a version may not need an orderly stop of the other.
                cluster.restart(name, binaries, kill=what == "upgraded again")
                said.append(go_on(cluster, load, group, f"with {number + 1} of {len(BROKERS)} brokers {what}"))
                print(f"ok   {number + 1} of {len(BROKERS)} brokers {what}", flush=True)
            cluster.restart("coordinator", binaries)
            cluster.sluice("shard", "split", "elastic", shard_to_split(cluster))
            said.append(go_on(cluster, load, group, f"with the coordinator {what}, too"))
            print(f"ok   the coordinator {what}", flush=True)
        group.stopping.set()
        group.join(60)
        assert not group.problem, group.problem
        acknowledged, in_memory = load.finish(), memory.finish()
        read = cluster.sluice("consume", "elastic", "--until-end")
        assert [line.split("\t")[-1] for line in read.splitlines()] == said, read
        print(f"     {acknowledged} records acknowledged by fsync, {in_memory} in memory, {len(said)} by the native API, "
              f"none missing; the group committed {group.total()}", flush=True)
    finally:
        Load.stop_all()
        cluster.loopback("down", cluster.dir)
    shutil.rmtree(cluster.dir)


def shard_to_split(cluster):
    shards = json.loads(cluster.sluice("-o", "json", "shard", "list", "elastic"))
    return str(max(s["shard"] for s in shards if s["state"].lower() == "open"))


def main():
    began = time.monotonic()
    try:
        turn(*map(pathlib.Path, sys.argv[1:3]))
    except Exception:
        traceback.print_exc()
        print("0 passed, 1 failed")
        return 1
    print(f"ok   two versions in one cluster ({time.monotonic() - began:.0f} s)")
    print("1 passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
