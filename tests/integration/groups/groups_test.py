"""Consumer groups of unchanged clients: rebalances, static members, both protocols and the way between
them, coordinators that are killed, and administration. Every test prints one line; the last line is
"N passed, N failed".
"""
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import uuid

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
BIN = pathlib.Path(os.environ.get("SLUICE_BIN", ROOT / "build/release/bin"))
PARTITIONS = 6
# Short ones, so that the loss of a member is noticed soon.
CLASSIC = {"session.timeout.ms": "6000", "heartbeat.interval.ms": "500"}
EAGER = {**CLASSIC, "partition.assignment.strategy": "range"}
COOPERATIVE = {**CLASSIC, "partition.assignment.strategy": "cooperative-sticky"}
KIP848 = {"group.protocol": "consumer"}


def wait_for(condition, what, seconds=60):
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(0.05)
    return found


class Cluster:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="sluice-groups-")
        self.env = dict(line.split("=", 1)
                        for line in self.loopback("up", self.dir, "3").splitlines() if "=" in line)
        self.kafka = self.env["KAFKA"]

    def loopback(self, *arguments):
        done = subprocess.run([ROOT / "deploy/loopback", *arguments], capture_output=True, text=True,
                              env={**os.environ, "SLUICE_BIN": str(BIN)})
        if done.returncode != 0:
            raise AssertionError(f"loopback {arguments}: {done.stdout}{done.stderr}")
        return done.stdout

    def end(self, broker, sig):
        name = f"broker-{broker}"
        pid = int(pathlib.Path(self.dir, name, "pid").read_text())
        os.kill(pid, sig)
        wait_for(lambda: not alive(pid), f"{name} to end")
        return name

    def start(self, name):
        self.loopback("start", self.dir, name)

    def sluice(self, *arguments, check=True):
        done = subprocess.run([BIN / "sluice", "--broker", self.env["GRPC"].split(",")[0],
                               *arguments], capture_output=True, text=True, timeout=60)
        if check and done.returncode != 0:
            raise AssertionError(f"sluice {arguments}: {done.stdout}{done.stderr}")
        return done

    def close(self, keep):
        self.loopback("down", self.dir)
        if keep:
            print(f"the processes' logs and data are in {self.dir}")
        else:
            shutil.rmtree(self.dir, ignore_errors=True)


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Member:
    """A process of member.py and what it has said."""

    def __init__(self, cluster, group, topic, library="librdkafka", **settings):
        pairs = [f"{key}={value}" for key, value in settings.items()]
        self.errors = tempfile.TemporaryFile(mode="w+")
        self.process = subprocess.Popen(
            [sys.executable, "-B", HERE / "member.py", library, cluster.kafka, group, topic, *pairs],
            stdout=subprocess.PIPE, stderr=self.errors, text=True)
        self.assigned, self.values, self.revocations = set(), [], 0
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in self.process.stdout:
            event, _, rest = line.rstrip("\n").partition(" ")
            if event == "record":
                self.values.append(rest.split(" ", 2)[2])
                continue
            partitions = {int(p) for p in rest.split(",") if p}
            if event == "assigned":
                self.assigned = self.assigned | partitions
            else:
                self.assigned = self.assigned - partitions
                self.revocations += 1

    def end(self, sig=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(sig)
        self.process.wait(timeout=60)


class Group:
    """A topic with records, and the members that read it."""

    def __init__(self, cluster, topic=None, partitions=PARTITIONS):
        self.cluster = cluster
        self.name = "g-" + uuid.uuid4().hex[:8]
        self.topic = topic or "t-" + uuid.uuid4().hex[:8]
        self.partitions = partitions
        self.members, self.produced = [], []
        self.admin = AdminClient({"bootstrap.servers": cluster.kafka})
        self.producer = Producer({"bootstrap.servers": cluster.kafka, "log_level": 0})
        if not topic:
            for made in self.admin.create_topics([NewTopic(self.topic, partitions, 3)]).values():
                made.result()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        for member in self.members:
            try:
                member.end()
            except subprocess.TimeoutExpired:
                member.end(signal.SIGKILL)
            if kind:
                member.errors.seek(0)
                print("   ", "\n    ".join(member.errors.read().splitlines()[-5:]))

    def join(self, library="librdkafka", **settings):
        self.members.append(Member(self.cluster, self.name, self.topic, library, **settings))
        return self.members[-1]

    def produce(self, count):
        values = [f"v{len(self.produced) + i}" for i in range(count)]
        for i, value in enumerate(values):
            self.producer.produce(self.topic, value, partition=i % self.partitions)
        if self.producer.flush(30):
            raise AssertionError("not all was produced")
        self.produced += values

    def wait_read(self, seconds=60):
        """Everything produced has been read by somebody."""
        def missing():
            return set(self.produced) - {v for m in self.members for v in list(m.values)}
        end = time.monotonic() + seconds
        while left := missing():
            if time.monotonic() > end:
                raise AssertionError(f"{len(left)} records are missing, {sorted(left)[:5]}")
            time.sleep(0.05)

    def wait_shared(self, *members, seconds=60):
        """The members have all partitions, each of them one, and about the same number each."""
        def shared():
            parts = [m.assigned for m in members]
            sizes = sorted(len(p) for p in parts)
            return (sum(sizes) == self.partitions == len(set().union(*parts)) and
                    sizes[-1] - sizes[0] <= 1)
        wait_for(shared, f"the partitions to be shared, not {[m.assigned for m in members]}",
                 seconds)

    def described(self):
        return self.admin.describe_consumer_groups([self.name])[self.name].result(30)

    def wait_committed(self, total, seconds=120):
        """The group's offsets add up to `total`; its coordinator may be on the move."""
        seen = None
        def reached():
            nonlocal seen
            try:
                seen = self.committed()
                return sum(seen.values()) == total
            except (KafkaException, concurrent.futures.TimeoutError) as error:
                seen = repr(error)
                return False
        try:
            wait_for(reached, f"{total} records to be committed", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}: at last {seen}") from None

    def committed(self):
        asked = ConsumerGroupTopicPartitions(self.name)
        answer = self.admin.list_consumer_group_offsets([asked])[self.name].result(30)
        return {p.partition: p.offset for p in answer.topic_partitions}


# --- Rebalances ------------------------------------------------------------------------------------

def rebalances(cluster, settings, library="librdkafka", lost_seconds=60):
    with Group(cluster) as group:
        group.produce(300)
        first = group.join(library, **settings)
        group.wait_shared(first)
        group.wait_read()
        second = group.join(library, **settings)
        group.wait_shared(first, second)
        group.produce(300)
        group.wait_read()
        second.end()
        group.wait_shared(first)
        third = group.join(library, **settings)
        group.wait_shared(first, third)
        third.end(signal.SIGKILL)
        group.wait_shared(first, seconds=lost_seconds)
        group.produce(300)
        group.wait_read()
        group.wait_committed(900)


def test_librdkafka_eager(cluster):
    rebalances(cluster, EAGER)


def test_librdkafka_cooperative(cluster):
    rebalances(cluster, COOPERATIVE)


def test_librdkafka_consumer_protocol(cluster):
    rebalances(cluster, KIP848, lost_seconds=90)


def test_kafka_python(cluster):
    rebalances(cluster, {}, "kafka-python")


def test_aiokafka(cluster):
    rebalances(cluster, {}, "aiokafka")


def static_restart(cluster, settings):
    with Group(cluster) as group:
        group.produce(60)
        stays = group.join(**settings, **{"group.instance.id": "stays"})
        goes = group.join(**settings, **{"group.instance.id": "goes"})
        group.wait_shared(stays, goes)
        group.wait_read()
        had, revocations = set(goes.assigned), stays.revocations
        goes.end()
        back = group.join(**settings, **{"group.instance.id": "goes"})
        wait_for(lambda: back.assigned == had, "the member to get its partitions back")
        group.produce(60)
        group.wait_read()
        assert stays.revocations == revocations, "the other member was disturbed"


def test_static_members_restart_without_a_rebalance(cluster):
    static_restart(cluster, {**EAGER, "session.timeout.ms": "30000"})


def test_static_members_of_the_consumer_protocol(cluster):
    static_restart(cluster, KIP848)


def test_groups_move_to_the_new_protocol_and_back(cluster):
    with Group(cluster) as group:
        group.produce(120)
        old = group.join(**COOPERATIVE)
        group.wait_shared(old)
        new = group.join(**KIP848)
        group.wait_shared(old, new)
        group.produce(120)
        group.wait_read()
        old.end()
        group.wait_shared(new)
        again = group.join(**COOPERATIVE)
        group.wait_shared(new, again)
        new.end()
        group.wait_shared(again)
        group.produce(120)
        group.wait_read()
        group.wait_committed(360)


# --- Coordinators that go ----------------------------------------------------------------------------

def test_offsets_and_members_outlive_a_killed_coordinator(cluster):
    with Group(cluster) as classic, Group(cluster) as consumer:
        members = [classic.join(**COOPERATIVE), classic.join(**COOPERATIVE)]
        others = [consumer.join(**KIP848), consumer.join(**KIP848)]
        for group in (classic, consumer):
            group.produce(600)
            group.wait_read()
        classic.wait_shared(*members)
        consumer.wait_shared(*others)
        for group in (classic, consumer):
            group.wait_committed(600)
            down = cluster.end(group.described().coordinator.id, signal.SIGKILL)
            group.produce(600)
            group.wait_read(90)
            group.wait_committed(1200)
            cluster.start(down)
        classic.wait_shared(*members)
        consumer.wait_shared(*others)
        seen = [v for m in classic.members + consumer.members for v in m.values]
        assert len(seen) < 2 * 2400, f"{len(seen)} records read of 2400: offsets were lost"


def test_a_rolling_restart_under_consuming_groups(cluster):
    with Group(cluster) as classic, Group(cluster) as consumer:
        for group, settings in ((classic, COOPERATIVE), (consumer, KIP848)):
            group.join(**settings)
            group.join(**settings)
        for group in (classic, consumer):
            group.wait_shared(*group.members)
        for broker in range(3):
            for group in (classic, consumer):
                group.produce(300)
            cluster.start(cluster.end(broker, signal.SIGTERM))
        for group in (classic, consumer):
            group.produce(300)
            group.wait_read(90)
            group.wait_committed(1200)
            group.wait_shared(*group.members)


# --- Administration --------------------------------------------------------------------------------

def test_administration(cluster):
    with Group(cluster) as group:
        group.produce(60)
        member = group.join(**EAGER)
        group.wait_read()
        described = group.described()
        assert described.state.name == "STABLE" and len(described.members) == 1, described.state
        listed = group.admin.list_consumer_groups().result(30)
        assert group.name in [g.group_id for g in listed.valid] and not listed.errors
        offsets = ConsumerGroupTopicPartitions(group.name, [TopicPartition(group.topic, 0, 3)])
        altered = group.admin.alter_consumer_group_offsets([offsets])[group.name].result(30)
        assert altered.topic_partitions[0].error.name() == "UNKNOWN_MEMBER_ID", altered
        member.end()
        wait_for(lambda: group.described().state.name == "EMPTY", "the group to be empty")
        group.admin.alter_consumer_group_offsets([offsets])[group.name].result(30)
        assert group.committed()[0] == 3
        later = group.join(**EAGER)
        wait_for(lambda: len(later.values) == 7, "what lies after the altered offset")
        later.end()
        wait_for(lambda: group.described().state.name == "EMPTY", "the group to be empty")
        group.admin.delete_consumer_groups([group.name])[group.name].result(30)
        assert group.name not in [g.group_id for g in
                                  group.admin.list_consumer_groups().result(30).valid]


def test_the_command_line(cluster):
    with Group(cluster) as group:
        group.produce(60)
        member = group.join(**EAGER)
        group.wait_read()
        group.wait_committed(60)
        assert group.name in cluster.sluice("group", "list").stdout
        text = cluster.sluice("group", "describe", group.name).stdout
        assert "Stable" in text and group.topic in text, text
        described = json.loads(cluster.sluice("group", "describe", group.name, "-o", "json").stdout)
        assert sum(p["lag"] for p in described["offsets"]) == 0, described
        refused = cluster.sluice("group", "delete", group.name, check=False)
        assert refused.returncode != 0 and "NON_EMPTY_GROUP" in refused.stderr, refused.stderr
        member.end()
        wait_for(lambda: group.described().state.name == "EMPTY", "the group to be empty")
        cluster.sluice("group", "reset-offsets", group.name, "--stream", group.topic, "--to",
                       "earliest")
        assert set(group.committed().values()) == {0}
        cluster.sluice("group", "reset-offsets", group.name, "--stream", group.topic, "--shard", "1",
                       "--to", "7")
        assert group.committed()[1] == 7
        cluster.sluice("group", "reset-offsets", group.name, "--stream", group.topic, "--to",
                       "latest")
        assert sum(group.committed().values()) == 60
        cluster.sluice("group", "delete", group.name)
        assert group.name not in cluster.sluice("group", "list").stdout


def test_metrics(cluster):
    with Group(cluster) as group:
        group.produce(30)
        group.join(**EAGER)
        group.wait_read()

        def total(metric):
            out = 0
            for address in cluster.env["METRICS"].split(","):
                page = subprocess.run(["curl", "-sf", f"http://{address}/metrics"], text=True,
                                      capture_output=True, check=True).stdout
                out += sum(float(v) for v in re.findall(rf"^{metric}(?:{{.*}})? (\S+)$", page, re.M))
            return out
        wait_for(lambda: total("sluice_groups") >= 1, "groups to be counted")
        wait_for(lambda: total("sluice_group_commits_total") >= 6, "commits to be counted")
        assert total("sluice_group_rebalances_total") >= 1


# --- Elastic streams ---------------------------------------------------------------------------------

def test_children_of_a_split_are_read_after_their_parent(cluster):
    stream = "e-" + uuid.uuid4().hex[:8]
    cluster.sluice("stream", "create", stream, "--mode", "elastic", "--shards", "1")
    keys = [f"k{i}" for i in range(8)]

    def publish(first, last):
        lines = "".join(f"{key}\t{key}:{n}\n" for n in range(first, last) for key in keys)
        subprocess.run([BIN / "sluice", "--broker", cluster.env["GRPC"].split(",")[0], "produce",
                        stream, "--key-separator", "TAB"], input=lines, text=True, check=True,
                       capture_output=True, timeout=60)
    publish(0, 20)
    cluster.sluice("shard", "split", stream, "0")
    publish(20, 40)
    with Group(cluster, topic=stream) as group:
        member = group.join(**KIP848)
        group.produced = [f"{key}:{n}" for n in range(40) for key in keys]
        group.wait_read()
        for key in keys:
            mine = [int(v.partition(":")[2]) for v in member.values if v.startswith(key + ":")]
            assert mine == sorted(mine), f"{key} out of order: {mine}"
        assert member.assigned == {1, 2}, member.assigned


# --- Java ----------------------------------------------------------------------------------------------

JARS = threading.Lock()


def java(main, *arguments, **options):
    libs = ROOT / "build/tests/kafka-tools"
    with JARS:
        if not (libs / "done").exists():
            subprocess.run(["mvn", "-q", "-B", "-ntp", "-Dstyle.color=never", "-f",
                            ROOT / "tests/integration/kafka_clients/java/pom.xml",
                            "dependency:copy-dependencies", f"-DoutputDirectory={libs}"],
                           check=True)
            (libs / "done").touch()
    return subprocess.run(["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m", "-cp",
                           f"{libs}/*", main, *arguments], text=True, capture_output=True,
                          timeout=120, **options)


def java_console(cluster, protocol):
    with Group(cluster) as group:
        group.produce(120)
        read = java("org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server",
                    cluster.kafka, "--topic", group.topic, "--group", group.name, "--from-beginning",
                    "--max-messages", "120", "--timeout-ms", "60000",
                    "--command-property", f"group.protocol={protocol}")
        assert sorted(read.stdout.split()) == sorted(group.produced), read.stdout + read.stderr
        command = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
        shown = java(command, "--bootstrap-server", cluster.kafka, "--describe", "--group",
                     group.name).stdout
        rows = [line.split() for line in shown.splitlines() if group.topic in line]
        assert len(rows) == PARTITIONS and all(row[3:6] == ["20", "20", "0"] for row in rows), shown
        reset = java(command, "--bootstrap-server", cluster.kafka, "--reset-offsets", "--to-earliest",
                     "--execute", "--topic", group.topic, "--group", group.name)
        assert set(group.committed().values()) == {0}, reset.stdout + reset.stderr
        gone = java(command, "--bootstrap-server", cluster.kafka, "--delete", "--group", group.name)
        assert "successful" in gone.stdout, gone.stdout + gone.stderr


def test_java_classic(cluster):
    java_console(cluster, "classic")


def test_java_consumer_protocol(cluster):
    java_console(cluster, "consumer")


def run(name, cluster):
    """Prints the test's line; whether it passed."""
    began = time.monotonic()
    try:
        globals()["test_" + name](cluster)
        print(f"ok    {name} ({time.monotonic() - began:.1f} s)", flush=True)
        return True
    except Exception:
        print(f"FAIL  {name}\n{traceback.format_exc()}", flush=True)
        return False


# They end brokers, which the others would notice.
ALONE = {"offsets_and_members_outlive_a_killed_coordinator",
         "a_rolling_restart_under_consuming_groups"}


def main():
    wanted = sys.argv[1:] or [name[5:] for name in globals() if name.startswith("test_")]
    cluster, passed = Cluster(), 0
    try:
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            passed = sum(pool.map(lambda name: run(name, cluster),
                                  [name for name in wanted if name not in ALONE]))
        passed += sum(run(name, cluster) for name in wanted if name in ALONE)
    finally:
        cluster.close(keep=passed < len(wanted))
    print(f"{passed} passed, {len(wanted) - passed} failed")
    return 0 if passed == len(wanted) else 1


if __name__ == "__main__":
    sys.exit(main())
