"""Measures Sluice beside Apache Kafka, and in some rows NATS: same generators, same machine, runs taken in turns.

usage: run [--runs N] [--rows NAME,NAME...] [--seconds N] [--out FILE.jsonl]
Every run appends a line of JSON to the out file; `table.py` makes tables of it.
"""
import argparse
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

from clusters import Kafka, Nats, Sluice, machine_busy, wait_for

HERE = pathlib.Path(__file__).resolve().parent


class Bench:
    def __init__(self, arguments, work):
        self.runs, self.seconds, self.work = arguments.runs, arguments.seconds, work
        self.out = open(arguments.out, "a", encoding="utf-8")
        self.generator = work / "generator"
        self.rates = {}
        self.clusters = {}  # by the number of brokers: one of each system, but for NATS's
        self.failures = 0
        self.done = 0

    def record(self, row, cluster, **values):
        self.done += 1
        self.failures += bool(values.get("failed") or values.get("error"))
        line = {"row": row, "system": cluster.name, "brokers": cluster.brokers, **values}
        print(json.dumps(line), file=self.out, flush=True)
        print(f"{'FAIL' if values.get('failed') or values.get('error') else 'ok  '} {row} {cluster.name}: " +
              ", ".join(f"{k} {v}" for k, v in values.items()), flush=True)

    def measure(self, cluster, command, timeout=300):
        """Runs a generator; what it printed, and what it cost the brokers, the generator and others."""
        os.sync()  # nobody's disk time is spent on what the other system has left to be written
        wait_for(lambda: self.calm(cluster), "the brokers to be idle", 60, pause=0)
        with self.others_stopped(cluster):
            self.wait_for_rest()
            cpu, busy, children, began = cluster.cpu(), machine_busy(), os.times(), time.monotonic()
            done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
            took = time.monotonic() - began
        after = os.times()
        own = after.children_user + after.children_system - children.children_user - children.children_system
        spent = cluster.cpu() - cpu
        cost = {"broker_cpu_s": round(spent, 2), "generator_cpu_s": round(own, 2),
                "others_cores": round(max(machine_busy() - busy - spent - own, 0) / took, 2),
                "rss_mib": round(cluster.memory()), "peak_rss_mib": round(cluster.memory("VmHWM"))}
        return done, cost

    @contextlib.contextmanager
    def others_stopped(self, cluster):
        """Idle as they are, three JVMs beside cost a latency's p99 some milliseconds on two processors."""
        pids = [pid for made in self.clusters.values() for other in made if other is not cluster
                for pid in other.processes()]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    @staticmethod
    def wait_for_rest():
        """Until the machine is idle, or is not going to be: then `others_cores` tells."""
        for _ in range(20):
            busy = machine_busy()
            time.sleep(0.5)
            if machine_busy() - busy < 0.1:
                return

    @staticmethod
    def calm(cluster):
        cpu = cluster.cpu()
        time.sleep(0.3)
        return cluster.cpu() - cpu < 0.1

    def produce(self, row, cluster, partitions, size, records, properties=(), config=None, replication=None):
        topic = cluster.create(partitions, replication, config)
        cluster.wait_led(topic, partitions)
        done, cost = self.measure(cluster, list(map(str, cluster.producing(
            self.generator, topic, partitions, size, records, properties))))
        cluster.delete(topic)
        got = cluster.generated(done, records)
        if got is None:
            self.record(row, cluster, error=(done.stdout + done.stderr)[-300:], **cost)
            return None
        cost["broker_cpu_s_per_million"] = round(cost["broker_cpu_s"] * 1e6 / got["records"], 3)
        return {**got, **cost}

    def java(self, row, cluster, kafka, partitions, size, records, config=None):
        topic = cluster.create(partitions, None, config)
        cluster.wait_led(topic, partitions)
        command = kafka.tool("ProducerPerformance", "--topic", topic, "--num-records", records, "--record-size", size,
                             "--throughput", -1, "--bootstrap-server", cluster.servers, "--warmup-records",
                             records // 4, "--command-property", "acks=all")
        done, cost = self.measure(cluster, command)
        cluster.delete(topic)
        rates = re.findall(r"records sent, ([\d.]+) records/sec", done.stdout)
        steady = re.findall(r"steady state records sent, ([\d.]+) records/sec", done.stdout)
        if not rates:
            self.record(row, cluster, error=(done.stdout + done.stderr)[-300:], **cost)
            return None
        cost["broker_cpu_s_per_million"] = round(cost["broker_cpu_s"] * 1e6 / records, 3)
        return {"records": records, "per_s": float((steady or rates)[-1]), **cost}

    def latency(self, row, cluster, topic, rate, partitions=1, properties=(), readers=1, **more):
        cluster.wait_serves(topic)
        command = [self.generator, "latency", "-b", cluster.servers, "-t", topic, "-p", partitions, "-r", rate,
                   "-d", self.seconds, "-w", 2, "-s", 1024, "-c", readers,
                   *[a for p in properties for a in ("-X", p)]]
        done, cost = self.measure(cluster, list(map(str, command)))
        cost.update(more)
        try:
            got = json.loads(done.stdout)
        except ValueError:
            self.record(row, cluster, error=done.stderr[-300:], **cost)
            return
        self.record(row, cluster, **got, **cost)

    def sized(self, key, guess):
        """Records for a run of about `seconds`, by what earlier runs of the case reached."""
        return int(self.rates.get(key, guess) * self.seconds)


def throughput(row, clusters, size, partitions, guess, **how):
    """In turns, a first round that only sizes the runs and warms both up."""
    def run(bench):
        for turn in range(bench.runs + 1):
            for cluster in clusters(bench):
                key = (row, cluster.name)
                records = bench.sized(key, guess) if turn else max(guess, 20_000)
                got = bench.produce(row, cluster, partitions, size, records, **how)
                if got:
                    bench.rates[key] = got["per_s"]
                    if turn:
                        bench.record(row, cluster, run=turn, **got)
    return run


def java(row, clusters, partitions, guess, config=None):
    def run(bench):
        for turn in range(bench.runs + 1):
            for cluster in clusters(bench):
                key = (row, cluster.name)
                records = bench.sized(key, guess) if turn else guess
                mine = config if cluster.name == "kafka" else None
                got = bench.java(row, cluster, bench.kafka, partitions, 1024, records, mine)
                if got:
                    bench.rates[key] = got["per_s"]
                    if turn:
                        bench.record(row, cluster, run=turn, **got)
    return run


def latencies(row, rate):
    def run(bench):
        topics = {}
        for cluster in three(bench):
            topics[cluster.name] = cluster.create(1)
            cluster.wait_led(topics[cluster.name], 1)
            bench.produce(row, cluster, 1, 1024, 20_000)
        for turn in range(1, bench.runs + 1):
            for cluster in three(bench):
                bench.latency(row, cluster, topics[cluster.name], rate)
        for cluster in three(bench):
            cluster.delete(topics[cluster.name])
    return run


def consume(row, clusters, partitions, size, guess, through):
    """What was just written, from its beginning, by one client."""
    def run(bench):
        made = {}
        for cluster in clusters(bench):
            made[cluster.name] = topic = cluster.create(partitions)
            cluster.wait_led(topic, partitions)
            subprocess.run(list(map(str, cluster.producing(bench.generator, topic, partitions, size, guess))),
                           check=True, stdout=subprocess.DEVNULL)
        for turn in range(1, bench.runs + 1):
            for cluster in clusters(bench):
                bench.record(row, cluster, run=turn,
                             **through(bench, cluster, made[cluster.name], partitions, size, guess))
        for cluster in clusters(bench):
            cluster.delete(made[cluster.name])
    return run


def by_its_client(bench, cluster, topic, partitions, size, records):
    done, cost = bench.measure(cluster, list(map(str, cluster.consuming(
        bench.generator, topic, partitions, size, records))))
    got = cluster.generated(done, records) or {"error": (done.stdout + done.stderr)[-300:]}
    cost["broker_cpu_s_per_million"] = round(cost["broker_cpu_s"] * 1e6 / records, 3)
    return {**got, **cost}


def by_java(bench, cluster, topic, partitions, size, records):
    done, cost = bench.measure(cluster, bench.kafka.tool(
        "ConsumerPerformance", "--topic", topic, "--num-records", records, "--bootstrap-server", cluster.servers,
        "--timeout", 30000))
    lines = [line.split(", ") for line in done.stdout.splitlines() if line[:2].isdigit()]
    if not lines:
        return {"error": (done.stdout + done.stderr)[-300:], **cost}
    cost["broker_cpu_s_per_million"] = round(cost["broker_cpu_s"] * 1e6 / records, 3)
    # "fetch.nMsg.sec" leaves out the time of the group's rebalance
    return {"records": records, "per_s": float(lines[-1][-1]), **cost}


def many_readers(row, rate, readers):
    """Latency with that many consumers at the end of the partition."""
    def run(bench):
        topics = {}
        for cluster in three(bench):
            topics[cluster.name] = cluster.create(1)
            cluster.wait_led(topics[cluster.name], 1)
        for turn in range(1, bench.runs + 1):
            for cluster in three(bench):
                bench.latency(row, cluster, topics[cluster.name], rate, readers=readers, run=turn)
        for cluster in three(bench):
            cluster.delete(topics[cluster.name])
    return run


def catch_up(bench):
    """Latency of a producer at 1,000/s, alone and beside readers of old records that only the disk has."""
    records, size = 1_000_000, 1024
    old, new = {}, {}
    for cluster in three(bench):
        old[cluster.name], new[cluster.name] = cluster.create(12), cluster.create(1)
        cluster.wait_led(old[cluster.name], 12)
        cluster.wait_led(new[cluster.name], 1)
        subprocess.run([bench.generator, "produce", "-b", cluster.servers, "-t", old[cluster.name], "-p", "12",
                        "-n", str(records), "-s", str(size)], check=True, stdout=subprocess.DEVNULL)
    for turn in range(1, bench.runs + 1):
        for cluster in three(bench):
            bench.latency("catch-up-alone", cluster, new[cluster.name], 1000, run=turn)
            subprocess.run(["sync"], check=True)
            pathlib.Path("/proc/sys/vm/drop_caches").write_text("1")
            # 60 MB/s, so that it lasts as long as the producer and leaves it a processor
            reader = subprocess.Popen([bench.generator, "consume", "-b", cluster.servers, "-t", old[cluster.name],
                                       "-p", "12", "-n", str(records), "-r", "60000"],
                                      stdout=subprocess.PIPE, text=True)
            bench.latency("catch-up-beside", cluster, new[cluster.name], 1000, run=turn)
            reader.kill() if reader.poll() is None else None
            reader.wait()
    for cluster in three(bench):
        cluster.delete(old[cluster.name])
        cluster.delete(new[cluster.name])


def many_shards(bench):
    """5,000 shards in five streams at replication 3: created, then one record written to each."""
    for turn in range(1, bench.runs + 1):
        for cluster in three(bench):
            cpu, began = cluster.cpu(), time.monotonic()
            topics = [cluster.create(1000) for _ in range(5)]
            answered = time.monotonic() - began
            for topic in topics:
                cluster.wait_led(topic, 1000)
            led = time.monotonic() - began
            failed, error = 0, ""
            touching = [subprocess.Popen([bench.generator, "touch", "-b", cluster.servers, "-t", topic, "-p", "1000"],
                                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                        for topic in topics]
            for child in touching:
                out, complaint = child.communicate(timeout=300)
                got = json.loads(out) if out else {"failed": 1000, "error": complaint[-200:]}
                failed, error = failed + got["failed"], error or got["error"]
            values = {"run": turn, "answered_s": round(answered, 2), "led_s": round(led, 2),
                      "written_s": round(time.monotonic() - began, 2), "failed": failed, "error": error}
            wait_for(lambda: bench.calm(cluster), "the brokers to be idle", 120, pause=0)
            values["broker_cpu_s"] = round(cluster.cpu() - cpu, 1)
            idle, since = cluster.cpu(), time.monotonic()
            time.sleep(10)
            values["idle_cores_per_broker"] = round((cluster.cpu() - idle) / (time.monotonic() - since) /
                                                    cluster.brokers, 4)
            values["rss_mib"] = round(cluster.memory())
            bench.record("5000-shards", cluster, **values)
            for topic in topics:
                cluster.delete(topic)


def shard_growth(bench):
    """The same load over more and more shards."""
    for turn in range(1, bench.runs + 1):
        for partitions in (10, 100, 1000, 2000):
            for cluster in three(bench):
                topic = cluster.create(partitions)
                cluster.wait_led(topic, partitions)
                command = [bench.generator, "latency", "-b", cluster.servers, "-t", topic, "-p", partitions,
                           "-r", 20_000, "-d", bench.seconds, "-w", 3, "-s", 1024, "-X", "linger.ms=5"]
                done, cost = bench.measure(cluster, list(map(str, command)))
                cluster.delete(topic)
                got = json.loads(done.stdout) if done.stdout else {"error": done.stderr[-300:]}
                bench.record("shard-growth", cluster, run=turn, partitions=partitions, **got, **cost)


def producer_growth(bench):
    """20,000 records a second in all, from more and more producers."""
    for turn in range(1, bench.runs + 1):
        for producers in (1, 10, 100):
            for cluster in three(bench):
                topic = cluster.create(12)
                cluster.wait_led(topic, 12)
                each = 20_000 // producers * bench.seconds
                command = ["sh", "-c", "for i in $(seq " + str(producers) + "); do " +
                           f"{bench.generator} produce -b {cluster.servers} -t {topic} -p 12 -n {each} -s 1024 & " +
                           "done; wait"]
                done, cost = bench.measure(cluster, command)
                cluster.delete(topic)
                lines = [json.loads(line) for line in done.stdout.splitlines()]
                got = {"producers": producers, "records": sum(line["records"] for line in lines),
                       "failed": sum(line["failed"] for line in lines) + (len(lines) < producers),
                       "slowest_s": max(line["seconds"] for line in lines)}
                got["per_s"] = round(got["records"] / got["slowest_s"])
                cost["broker_cpu_s_per_million"] = round(cost["broker_cpu_s"] * 1e6 / got["records"], 3)
                bench.record("producer-growth", cluster, run=turn, **got, **cost)


def restart(bench):
    """From the start of the processes on old data to every broker's being ready."""
    for turn in range(1, bench.runs + 1):
        for cluster in (*one(bench), *three(bench)):
            cluster.down()
            began = time.monotonic()
            cluster.up()
            bench.record("restart", cluster, run=turn, seconds=round(time.monotonic() - began, 2),
                         rss_mib=round(cluster.memory()))


def idle(bench):
    for turn in range(1, bench.runs + 1):
        for cluster in three(bench):
            wait_for(lambda: bench.calm(cluster), "the brokers to be idle", 60, pause=0)
            cpu = cluster.cpu()
            time.sleep(10)
            bench.record("idle", cluster, run=turn, cores=round((cluster.cpu() - cpu) / 10, 4),
                         rss_mib=round(cluster.memory()))


def one(bench):
    return bench.up(1)


def three(bench):
    return bench.up(3)


def with_nats(brokers):
    return lambda bench: bench.up(brokers) + bench.nats(brokers)


ROWS = {
    "idle-fresh": idle,
    "rf3-12-1k": throughput("rf3-12-1k", with_nats(3), 1024, 12, 150_000),
    "rf3-12-100": throughput("rf3-12-100", with_nats(3), 100, 12, 1_000_000),
    "rf3-1-1k": throughput("rf3-1-1k", three, 1024, 1, 80_000),
    "java-12": java("java-12", three, 12, 40_000),
    "java-1": java("java-1", three, 1, 20_000),
    "java-12-fsync": java("java-12-fsync", three, 12, 8_000, {"flush.messages": "1"}),
    "java-1-fsync": java("java-1-fsync", three, 1, 5_000, {"flush.messages": "1"}),
    "rf1-12-1k": throughput("rf1-12-1k", with_nats(1), 1024, 12, 300_000),
    "latency-1000": latencies("latency-1000", 1000),
    "latency-10000": latencies("latency-10000", 10000),
    "consume-12-1k": consume("consume-12-1k", with_nats(3), 12, 1024, 1_000_000, by_its_client),
    "consume-12-100": consume("consume-12-100", with_nats(3), 12, 100, 4_000_000, by_its_client),
    "consume-java-12-1k": consume("consume-java-12-1k", three, 12, 1024, 1_000_000, by_java),
    "latency-100-readers": many_readers("latency-100-readers", 100, 100),
    "catch-up": catch_up,
    "shard-growth": shard_growth,
    "producer-growth": producer_growth,
    "5000-shards": many_shards,
    "restart": restart,
}


class Running(Bench):
    """Clusters come up when a row first asks for them."""

    def __init__(self, arguments, work):
        super().__init__(arguments, work)
        self.systems = arguments.systems
        self.kafka = Kafka(work, 3)
        self.kafka.fetch()

    def up(self, brokers):
        if brokers not in self.clusters:
            made = [kind(self.work, brokers) for kind in (Kafka, Sluice) if kind.name in self.systems]
            for cluster in made:
                cluster.wipe()
                cluster.up()
            self.clusters[brokers] = made
        return self.clusters[brokers]

    def nats(self, brokers):
        """As a list: none where it is not asked for."""
        if "nats" not in self.systems:
            return []
        if ("nats", brokers) not in self.clusters:
            cluster = Nats(self.work, brokers)
            cluster.wipe()
            cluster.up()
            self.clusters["nats", brokers] = [cluster]
        return self.clusters["nats", brokers]

    def down(self):
        for made in self.clusters.values():
            for cluster in made:
                cluster.down()
                cluster.wipe()


def main():
    work = pathlib.Path(os.environ.get("BENCH_DIR", HERE.parents[2] / "build/tests/bench")).resolve()
    parser = argparse.ArgumentParser(prog="tests/suites/bench/run", description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=6)
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--systems", default="kafka,sluice,nats")
    parser.add_argument("--out", default=str(work / "results.jsonl"))
    arguments = parser.parse_args()
    arguments.systems = arguments.systems.split(",")
    unknown = set(arguments.rows.split(",")) - set(ROWS)
    if unknown:
        parser.error(f"no such rows: {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    bench = Running(arguments, work)
    try:
        for row in arguments.rows.split(","):
            ROWS[row](bench)
    finally:
        bench.down()
    print(f"{bench.done - bench.failures} passed, {bench.failures} failed")
    return 1 if bench.failures or not bench.done else 0


if __name__ == "__main__":
    sys.exit(main())
