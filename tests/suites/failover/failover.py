"""How long shards take no writes when a broker fails: 1,000 shards in 10 streams, replication 3, three brokers.

usage: run [--runs N] [--streams N] [--partitions N] [--out FILE.jsonl] [FAULT...]
Faults: kill (kill -9), pause (SIGSTOP), cut (the network link goes down), stop (SIGTERM).
A shard's time counts from the fault to the acknowledgement of the first record that was sent after it.
"""
import argparse
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "integration" / "faults"))
from load import create_topic, topic_state, wait_in_sync  # noqa: E402
from nodes import Cluster, shell, wait_for  # noqa: E402

# A silent broker is only noticed by what a client waits for: these are the client's share of the time.
CLIENT = ["retry.backoff.ms=50", "reconnect.backoff.ms=50", "reconnect.backoff.max.ms=200",
          "topic.metadata.refresh.fast.interval.ms=100"]
SILENT = [*CLIENT, "socket.timeout.ms=1000", "request.timeout.ms=1000", "topic.metadata.refresh.interval.ms=500"]
# fault: what brings it about, the client's settings, the aim for the 99th percentile in ms
FAULTS = {
    "kill": (lambda b: f"kill -9 {b.pid()}", CLIENT, 1000),
    "pause": (lambda b: f"kill -STOP {b.pid()}", SILENT, 3000),
    "cut": (lambda b: f"ip link set v-b{b.number} down", SILENT, 3000),
    "stop": (lambda b: f"kill -TERM {b.pid()}", CLIENT, 100),
}


def leader_counts(cluster, topics):
    """How many shards each broker leads; nothing while one has no leader."""
    leaders = [leader for topic in topics for leader, _ in topic_state(cluster, topic).values()]
    return {b.number: leaders.count(b.number) for b in cluster.brokers} if leaders and min(leaders) >= 0 else None


def victim_of(cluster, topics, turn):
    """A broker that leads its share."""
    counts = wait_for(lambda: leader_counts(cluster, topics), "every shard to be led", 60)
    led = sorted(counts, key=lambda n: (-counts[n], n))
    return cluster.brokers[led[turn % 2]]


def heal(cluster, victim, topics):
    shell("ip", "link", "set", f"v-b{victim.number}", "up")
    victim.signal(signal.SIGCONT)
    if not victim.alive():
        victim.start()
    for broker in cluster.brokers:
        broker.wait_ready(60)
    for topic in topics:
        wait_in_sync(cluster, topic, 120)

    def balanced():
        counts = leader_counts(cluster, topics)
        return counts and min(counts.values()) >= sum(counts.values()) * 0.2
    wait_for(balanced, "leadership to be spread again", 120, pause=0.5)


def measure(cluster, topics, partitions, fault, turn, prober):
    command, settings, _ = FAULTS[fault]
    victim = victim_of(cluster, topics, turn)
    done = subprocess.run([prober, "-b", cluster.kafka, "-t", ",".join(topics), "-p", str(partitions), "-v",
                           str(victim.number), "-e", command(victim), "-i", "500", "-s", "12",
                           *[a for s in settings for a in ("-X", s)]], capture_output=True, text=True, timeout=180)
    if fault == "stop":
        victim.process.wait(60)
    heal(cluster, victim, topics)
    if not done.stdout:
        return {"error": done.stderr[-300:], "p99_ms": None}
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(prog="tests/suites/failover/run", description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--streams", type=int, default=10)
    parser.add_argument("--partitions", type=int, default=100)
    parser.add_argument("--out", default=os.devnull)
    parser.add_argument("--prober", required=True)
    parser.add_argument("faults", nargs="*", default=list(FAULTS))
    arguments = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="sluice-failover-")
    cluster = Cluster(folder)
    cluster.start()
    topics = [f"stream-{i}" for i in range(arguments.streams)]
    for topic in topics:
        create_topic(cluster, topic, arguments.partitions)
    for topic in topics:
        wait_in_sync(cluster, topic, 120)
    passed = failed = 0
    with open(arguments.out, "a", encoding="utf-8") as out:
        for fault in arguments.faults:
            runs = []
            for turn in range(arguments.runs):
                got = measure(cluster, topics, arguments.partitions, fault, turn, arguments.prober)
                print(json.dumps({"fault": fault, "run": turn + 1, **got}), file=out, flush=True)
                print(f"     {fault} {turn + 1}: {got}", flush=True)
                runs.append(got)
            good = [r for r in runs if r.get("p99_ms") is not None and not r["failed"] and not r["not_recovered"]]
            figure = "slowest_ms" if fault == "stop" else "p99_ms"
            worst = statistics.median(r[figure] for r in good) if good else None
            if len(good) == len(runs) and worst <= FAULTS[fault][2]:
                passed += 1
                print(f"ok   {fault}: {figure} {worst:.0f} (median of {len(runs)} runs)", flush=True)
            else:
                failed += 1
                print(f"FAIL {fault}: {figure} {worst}, the aim is {FAULTS[fault][2]}", flush=True)
    cluster.close()
    shutil.rmtree(folder)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
