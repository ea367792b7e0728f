"""Sluice and Apache Kafka on loopback, with what the benchmark asks of both: up, down, topics, cost."""
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
TICKS = os.sysconf("SC_CLK_TCK")
LOG4J = """<Configuration><Appenders><Console name="out"><PatternLayout pattern="%d %p %m%n"/></Console>
</Appenders><Loggers><Root level="${sys:bench.level:-INFO}"><AppenderRef ref="out"/></Root></Loggers>
</Configuration>"""


def wait_for(condition, what, seconds=60, pause=0.02):
    end = time.monotonic() + seconds
    while True:
        got = condition()
        if got:
            return got
        if time.monotonic() > end:
            raise RuntimeError(f"waited {seconds} s for {what}")
        time.sleep(pause)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def process_cpu(pid):
    """Seconds of CPU that a process has used."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_mib(pid, field):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    return 0.0


def machine_busy():
    """Seconds of CPU that all of the machine has used."""
    fields = [int(f) for f in pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / TICKS


class Cluster:
    """What all have: processes of brokers, here such as serve Kafka's protocol."""
    name = ""

    def __init__(self, work, brokers):
        self.dir = pathlib.Path(work) / f"{self.name}-{brokers}"
        self.brokers = brokers
        self.servers = ""
        self.serial = 0

    def cpu(self):
        return sum(process_cpu(pid) for pid in self.pids())

    def memory(self, field="VmRSS"):
        return sum(memory_mib(pid, field) for pid in self.pids())

    def admin(self):
        return AdminClient({"bootstrap.servers": self.servers, "log_level": 0})

    def create(self, partitions, replication=None, config=None, timeout=120):
        self.serial += 1
        topic = f"t{self.serial}-{int(time.time())}"
        new = NewTopic(topic, partitions, replication or self.brokers, config=config or {})
        admin = self.admin()
        admin.create_topics([new], operation_timeout=timeout, request_timeout=timeout)[topic].result(timeout)
        return topic

    def delete(self, topic):
        admin = self.admin()
        admin.delete_topics([topic], operation_timeout=60)[topic].result(60)

    def wait_led(self, topic, partitions, seconds=180):
        """Until the cluster says of every partition that it has a leader."""
        admin = self.admin()

        def led():
            try:
                found = admin.list_topics(topic, timeout=10).topics[topic].partitions
            except Exception:
                return False
            return len(found) == partitions and all(p.leader >= 0 for p in found.values())
        wait_for(led, f"leaders of {topic}", seconds, pause=0.05)

    def wait_serves(self, topic, seconds=60):
        """Until a record is acknowledged, which it may not be just after the processes were stopped."""
        answers = []
        producer = Producer({"bootstrap.servers": self.servers, "acks": "all", "log_level": 0,
                             "delivery.timeout.ms": seconds * 1000})
        producer.produce(topic, b"", on_delivery=lambda error, _: answers.append(error))
        producer.flush(seconds)
        if answers != [None]:
            raise RuntimeError(f"{self.name} does not serve {topic}: {answers}")

    def processes(self):
        """Of the whole system: `pids` are the brokers'."""
        return self.pids()

    def producing(self, generator, topic, partitions, size, records, properties=()):
        """The command that sends as many records as fast as they are taken."""
        return [generator, "produce", "-b", self.servers, "-t", topic, "-p", partitions, "-n", records, "-s", size,
                *[a for p in properties for a in ("-X", p)]]

    def consuming(self, generator, topic, partitions, size, records):
        return [generator, "consume", "-b", self.servers, "-t", topic, "-p", partitions, "-n", records]

    def generated(self, done, records):
        """What such a command measured; None when it failed."""
        return json.loads(done.stdout) if done.stdout else None


class Sluice(Cluster):
    name = "sluice"

    def loopback(self, *args):
        done = subprocess.run([ROOT / "deploy/loopback", *map(str, args)], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)
        return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)

    def up(self):
        self.servers = self.loopback("up", self.dir, self.brokers)["KAFKA"]

    def down(self):
        self.loopback("down", self.dir)

    def pids(self):
        return [int((self.dir / f"broker-{i}" / "pid").read_text()) for i in range(self.brokers)]

    def processes(self):
        return [int(file.read_text()) for file in self.dir.glob("*/pid")]

    def wipe(self):
        shutil.rmtree(self.dir, ignore_errors=True)


class Kafka(Cluster):
    """Each node is broker and controller; its defaults, but for what a small cluster needs."""
    name = "kafka"
    settings = []  # more lines of server.properties

    def __init__(self, work, brokers):
        super().__init__(work, brokers)
        self.libs = pathlib.Path(work) / "kafka-libs"

    def fetch(self):
        if not (self.libs / "complete").exists():
            subprocess.run(["mvn", "-q", "-B", "-ntp", "-f", HERE / "pom.xml", "dependency:copy-dependencies",
                            f"-DoutputDirectory={self.libs}"], check=True)
            (self.libs / "complete").touch()

    def java(self, heap, level="WARN"):
        self.dir.mkdir(parents=True, exist_ok=True)
        (self.dir / "log4j2.xml").write_text(LOG4J)
        return ["java", "-server", f"-Xms{heap}", f"-Xmx{heap}", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
                "-XX:InitiatingHeapOccupancyPercent=35", f"-Dlog4j2.configurationFile={self.dir}/log4j2.xml",
                f"-Dbench.level={level}", "-cp", f"{self.libs}/*"]

    def configure(self):
        ports = [free_port() for _ in range(2 * self.brokers)]
        voters = ",".join(f"{n + 1}@127.0.0.1:{ports[2 * n + 1]}" for n in range(self.brokers))
        isr = self.brokers // 2 + 1
        for n in range(self.brokers):
            node = self.dir / f"node-{n}"
            node.mkdir(parents=True)
            kafka, controller = ports[2 * n], ports[2 * n + 1]
            (node / "server.properties").write_text("\n".join([
                "process.roles=broker,controller", f"node.id={n + 1}", f"controller.quorum.voters={voters}",
                "controller.listener.names=CONTROLLER",
                f"listeners=PLAINTEXT://127.0.0.1:{kafka},CONTROLLER://127.0.0.1:{controller}",
                f"advertised.listeners=PLAINTEXT://127.0.0.1:{kafka}",
                "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
                f"log.dirs={node}/data", f"min.insync.replicas={isr}",
                f"offsets.topic.replication.factor={self.brokers}", "log.segment.delete.delay.ms=1000",
                *self.settings, ""]))
            subprocess.run([*self.java("256m"), "kafka.tools.StorageTool", "format", "-t", "c2x1aWNlLWJlbmNoLTEyMw",
                            "-c", node / "server.properties"], check=True, stdout=subprocess.DEVNULL)
        (self.dir / "servers").write_text(",".join(f"127.0.0.1:{p}" for p in ports[::2]))

    def up(self):
        self.fetch()
        if not (self.dir / "servers").exists():
            self.configure()
        self.servers = (self.dir / "servers").read_text()
        for n in range(self.brokers):
            node = self.dir / f"node-{n}"
            with open(node / "log", "w") as log:
                child = subprocess.Popen([*self.java("1g", "INFO"), "kafka.Kafka", node / "server.properties"],
                                         stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
            (node / "pid").write_text(str(child.pid))
        for n in range(self.brokers):
            log = self.dir / f"node-{n}" / "log"
            wait_for(lambda: "Kafka Server started" in log.read_text(), f"{log} to say that it serves", 120)

    def down(self):
        for pid in self.pids():
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                pass
        for pid in self.pids():
            wait_for(lambda: self.gone(pid), f"Kafka's process {pid} to end")

    @staticmethod
    def gone(pid):
        try:
            return os.waitpid(pid, os.WNOHANG)[0] == pid
        except ChildProcessError:
            return not pathlib.Path(f"/proc/{pid}").exists()

    def pids(self):
        return [int((self.dir / f"node-{n}" / "pid").read_text()) for n in range(self.brokers)]

    def wipe(self):
        shutil.rmtree(self.dir, ignore_errors=True)

    def tool(self, name, *args):
        return [*self.java("512m"), f"org.apache.kafka.tools.{name}", *map(str, args)]


class Nats(Cluster):
    """JetStream with files and its defaults: like Kafka it does not fsync before it acknowledges. A topic is
    one stream; its own generator publishes with 500 messages under way, and reads by an ordered consumer."""
    name = "nats"
    versions = {"nats-server": "github.com/nats-io/nats-server/v2@v2.15.2",
                "nats": "github.com/nats-io/natscli/nats@v0.5.1"}

    def __init__(self, work, brokers):
        super().__init__(work, brokers)
        self.bin = pathlib.Path(work) / "nats-bin"

    def fetch(self):
        for name, source in self.versions.items():
            if not (self.bin / name).exists():
                subprocess.run(["go", "install", source], check=True,
                               env={**os.environ, "GOBIN": str(self.bin), "CGO_ENABLED": "0"})

    def up(self):
        self.fetch()
        clients, routes, pages = ([free_port() for _ in range(self.brokers)] for _ in range(3))
        self.servers = ",".join(f"nats://127.0.0.1:{port}" for port in clients)
        for n in range(self.brokers):
            node = self.dir / f"node-{n}"
            node.mkdir(parents=True, exist_ok=True)
            lines = [f"server_name: node-{n}", f"listen: 127.0.0.1:{clients[n]}", f"http: 127.0.0.1:{pages[n]}",
                     f'jetstream {{ store_dir: "{node}/data", max_file_store: 30GB }}']
            if self.brokers > 1:
                peers = ", ".join(f"nats://127.0.0.1:{port}" for port in routes)
                lines.append(f"cluster {{ name: bench, listen: 127.0.0.1:{routes[n]}, routes: [ {peers} ] }}")
            (node / "nats.conf").write_text("\n".join(lines) + "\n")
            with open(node / "log", "w") as log:
                child = subprocess.Popen([self.bin / "nats-server", "-c", node / "nats.conf"], stdout=log,
                                         stderr=subprocess.STDOUT, start_new_session=True)
            (node / "pid").write_text(str(child.pid))
        for port in pages:
            wait_for(lambda: self.healthy(port), f"NATS's node on port {port}")

    @staticmethod
    def healthy(port):
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2).status == 200
        except OSError:
            return False

    down, gone, pids, wipe = Kafka.down, staticmethod(Kafka.gone), Kafka.pids, Kafka.wipe

    def cli(self, *args):
        return [self.bin / "nats", "-s", self.servers, *args]

    def create(self, partitions, replication=None, config=None, timeout=120):
        self.serial += 1
        topic = f"t{self.serial}"
        subprocess.run(self.cli("stream", "add", topic, "--subjects", topic, "--replicas",
                                str(replication or self.brokers), "--storage", "file", "--defaults"),
                       check=True, stdout=subprocess.DEVNULL, timeout=timeout)
        return topic

    def delete(self, topic):
        subprocess.run(self.cli("stream", "rm", "-f", topic), check=True, stdout=subprocess.DEVNULL)

    def wait_led(self, topic, partitions, seconds=180):
        """`stream add` answers when the stream has its leader."""

    def producing(self, generator, topic, partitions, size, records, properties=()):
        return self.cli("bench", "js", "pub", "async", topic, "--stream", topic, "--size", size, "--msgs", records,
                        "--no-progress")

    def consuming(self, generator, topic, partitions, size, records):
        return self.cli("bench", "js", "ordered", "--stream", topic, "--size", size, "--msgs", records, "--no-progress")

    def generated(self, done, records):
        rate = re.search(r"stats: ([\d,]+) msgs/sec", done.stdout)
        return {"records": records, "per_s": float(rate[1].replace(",", ""))} if rate else None
