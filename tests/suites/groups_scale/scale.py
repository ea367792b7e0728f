"""Consumer groups by number, Sluice beside Apache Kafka: how long a rebalance takes, and what the brokers use.
See run."""
import argparse
import os
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path.insert(0, str(HERE.parent / "bench"))
from clusters import Kafka, Sluice  # noqa: E402

BROKERS = 3
PROTOCOLS = ("classic", "consumer")
STEADY_SECONDS = 20
WARM_UP = (20, 5, 20)  # not shown: the coordinators' stream is made, a virtual machine has compiled what it needs
# name -> groups, members of each, partitions of their topic
SCENES = {"one group of 500 members": (1, 500, 500), "1,000 groups of one member": (1000, 1, 1)}


class Members:
    """The process of main.go."""

    def __init__(self, binary, servers, topic, scene, protocol):
        groups, members, partitions = scene
        self.process = subprocess.Popen([binary, servers, topic, *map(str, (partitions, groups, members)), protocol],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def take(self, what):
        """The seconds that it says `what` took."""
        line = self.process.stdout.readline().split()
        if not line or line[0] != what:
            raise RuntimeError(f"wanted '{what}', the members said {line}")
        return float(line[1])

    def go_on(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self):
        self.process.kill()
        self.process.wait()


def measure(cluster, binary, name, scene, protocol, steady_seconds=STEADY_SECONDS):
    """One row of the table."""
    topic = cluster.create(scene[2])
    cluster.wait_led(topic, scene[2])
    memory = cluster.memory()
    members = Members(binary, cluster.servers, topic, scene, protocol)
    try:
        seconds = [members.take("joined")]
        cpu, began = cluster.cpu(), time.monotonic()
        time.sleep(steady_seconds)  # what is measured is what brokers use meanwhile
        busy = (cluster.cpu() - cpu) / (time.monotonic() - began)
        memory = cluster.memory() - memory
        members.go_on()
        for what in ("left", "grown") if scene[1] > 1 else ():
            seconds.append(members.take(what))
            members.go_on()
        members.process.wait(120)
    finally:
        members.end()
    cluster.delete(topic)
    times = [f"{s:.2f}" for s in seconds] + ["–"] * (3 - len(seconds))
    return f"| {name} | {protocol} | {cluster.name} | {' | '.join(times)} | {memory:+.0f} | {100 * busy:.1f} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", required=True, help="the compiled main.go")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--work", default=str(ROOT / "build/tests/groups_scale"))
    args = parser.parse_args()
    os.makedirs(args.work, exist_ok=True)
    rows = {}
    for _ in range(args.runs):
        for kind in (Sluice, Kafka):  # one after the other: they share the processors
            cluster = kind(args.work, BROKERS)
            cluster.wipe()
            cluster.up()
            try:
                for protocol in PROTOCOLS:
                    measure(cluster, args.members, "", WARM_UP, protocol, steady_seconds=0.1)
                for name, scene in SCENES.items():
                    for protocol in PROTOCOLS:
                        row = measure(cluster, args.members, name, scene, protocol)
                        print(row, file=sys.stderr, flush=True)
                        rows.setdefault((name, protocol), []).append(row)
            finally:
                cluster.down()
                cluster.wipe()
    print("| groups | protocol | brokers | all joined, s | one has left, s | one has joined, s | memory, MiB | CPU, % of one |")
    print("|---|---|---|---|---|---|---|---|")
    for table in rows.values():
        print("\n".join(table))
    print(f"{sum(map(len, rows.values()))} passed, 0 failed")


if __name__ == "__main__":
    main()
