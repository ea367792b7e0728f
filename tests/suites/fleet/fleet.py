"""One operator and a fleet: time from a change to its being applied, memory, calls, restart, writes at rest.
Ends with "N passed, N failed"; a missed aim is written down, not a failure.

usage: run [--sizes 100,1000] [--streams 10] [--brokers 1] [--changes 300] [--rate 10] [--quiet 120] [--in-one-namespace]
"""
import argparse
import collections
import math
import os
import pathlib
import random
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import world  # noqa: E402
from world import GROUP, MERGE, ROOT, wait_until  # noqa: E402

READS = {"get", "list", "watch"}


def name_of(number, per_namespace):
    return f"fleet-{number // per_namespace}", f"c{number}"


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


class Fleet:
    def __init__(self, server, options):
        self.server, self.options = server, options
        self.clusters = 0
        self.per_namespace = 10**9 if options.in_one_namespace else 50
        # A start must not be a change: the coordinator's address is in each pod's arguments.
        self.operator, self.hook, self.coordinator = None, world.free_port(), world.free_port()

    # --- the resources

    def grow(self, clusters):
        """Creates clusters, their streams and volumes, up to so many."""
        new, self.clusters = range(self.clusters, clusters), clusters
        for ns in sorted({name_of(number, self.per_namespace)[0] for number in new}):
            self.server.request("PATCH", f"/api/v1/namespaces/{ns}?fieldManager=fleet", {
                "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ns}}, world.APPLY)
        world.in_parallel(self.server, [self.creation_of(number) for number in new])

    def creation_of(self, number):
        ns, name = name_of(number, self.per_namespace)
        brokers, streams = self.options.brokers, self.options.streams

        def create(connection):
            for broker in range(brokers):
                connection.send("POST", "/api/v1/persistentvolumes", {
                    "metadata": {"name": f"{name}-{broker}"}, "spec": {
                        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "fleet",
                        "claimRef": {"namespace": ns, "name": f"data-{name}-{broker}"},
                        "hostPath": {"path": "/nowhere"}}})
            connection.send("POST", f"{GROUP}/namespaces/{ns}/streamclusters", {
                "apiVersion": "sluice.dev/v1alpha1", "kind": "StreamCluster", "metadata": {"name": name}, "spec": {
                    "brokers": brokers, "storage": {"size": "1Gi", "storageClassName": "fleet"}}})
            for stream in range(streams):
                connection.send("POST", f"{GROUP}/namespaces/{ns}/streams", {
                    "apiVersion": "sluice.dev/v1alpha1", "kind": "Stream", "metadata": {"name": f"{name}-s{stream}"},
                    "spec": {"cluster": name, "name": f"s{stream}", "mode": "Partitioned", "partitions": 1}})
        return create

    def unapplied(self):
        connection = self.server.connection()

        def behind(item):
            return item.get("status", {}).get("observedGeneration", 0) < item["metadata"]["generation"]
        return sum(sum(connection.all(f"{GROUP}/{kind}", behind)) for kind in ("streamclusters", "streams"))

    def pods_ready(self):
        def ready(item):
            return any(c["type"] == "Ready" and c["status"] == "True"
                       for c in item.get("status", {}).get("conditions", []))
        return sum(self.server.connection().all("/api/v1/pods", ready))

    # --- the operator

    def start(self):
        self.operator = world.Operator(self.server, f"{self.server.dir}/operator.log", self.hook,
                                       self.coordinator, *self.options.operator_flags.split(), wrap=self.options.wrap.split())

    def reconciled(self):
        found = collections.Counter()
        for name, labels, value in self.operator.metrics():
            if name == "sluice_operator_reconcile_total":
                found[labels.split('"')[1]] += value
        return found

    def loaded(self):
        """Coordinators that have read what is stored."""
        return sum(name == "sluice_coordinator_sessions" for name, _, _ in self.operator.metrics())

    def calls(self):
        """Answered requests by (verb, kind)."""
        found = collections.Counter()
        for name, labels, value in self.operator.metrics():
            if name == "sluice_operator_api_requests_total":
                fields = dict(pair.split("=", 1) for pair in labels.strip("{}").split(","))
                found[fields["verb"].strip('"'), fields["kind"].strip('"')] += value
        return found

    def wait_all_looked_at(self, seconds=900):
        """First come, first served: so many reconciles are one of each."""
        streams = self.clusters * self.options.streams

        def all_done():
            found = self.reconciled()
            return found["streamcluster"] >= self.clusters and found["stream"] >= streams and \
                self.loaded() >= self.clusters
        deadline = time.monotonic() + seconds
        while not all_done():
            if time.monotonic() > deadline:
                say(f"gave up: {dict(self.reconciled())}, {self.loaded()} loaded")
                return None
            time.sleep(0.1)
        return time.monotonic() - self.operator.began

    def wait_quiet(self, seconds=600):
        """Until no write but the Lease's has happened for 10 s."""
        deadline, last, since = time.monotonic() + seconds, None, time.monotonic()
        while time.monotonic() < deadline:
            writes = sum(self.writes(self.calls()).values())
            if writes != last:
                last, since = writes, time.monotonic()
            if time.monotonic() - since > 10:
                return True
            time.sleep(1)
        say("it does not become quiet")
        return False

    @staticmethod
    def writes(calls):
        return {key: count for key, count in calls.items() if key[0] not in READS and key[1] != "Lease"}

    # --- the measurements

    def quiet(self, seconds):
        """Writes and reads of a fleet that nobody changes, and what the operator takes."""
        before, reconciles, cpu = self.calls(), self.reconciled(), self.operator.cpu()
        time.sleep(seconds)
        after, again = self.calls(), self.reconciled()
        return {
            "writes": {f"{verb} {kind}": int(count) for (verb, kind), count in
                       self.writes(after - before).items()},
            "lease writes": int(sum(count for (verb, kind), count in (after - before).items()
                                    if kind == "Lease" and verb not in READS)),
            "reads": {f"{verb} {kind}": int(count) for (verb, kind), count in (after - before).items()
                      if verb in READS and kind != "Lease"},
            "reconciles": {name: int(count) for name, count in (again - reconciles).items()},
            "cpu": (self.operator.cpu() - cpu) / seconds,
        }

    def change(self, count):
        """ms from sending a change until its effect has been seen, of clusters and of streams."""
        expected, took, lock = {}, {"cluster": [], "stream": []}, threading.Lock()

        def settle(key, value, now, strict=True):
            with lock:
                waiting = expected.get(key)
                if waiting and (value == waiting[1] if strict else value >= waiting[1]):
                    waiting[2].append(now)
                    del expected[key]

        def saw_cluster(item, now):
            settle(("cluster", item["metadata"]["name"]), item.get("status", {}).get("observedGeneration", 0), now,
                   strict=False)

        def saw_stream(item, now):
            settle(("stream", item["metadata"]["name"]), item.get("status", {}).get("observedGeneration", 0), now,
                   strict=False)

        def saw_set(item, now):
            memory = item["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"].get("memory")
            settle(("set", item["metadata"]["name"]), memory, now)

        watches = [world.Watch(self.server, f"{GROUP}/streamclusters", saw_cluster),
                   world.Watch(self.server, f"{GROUP}/streams", saw_stream),
                   world.Watch(self.server, "/apis/apps/v1/statefulsets", saw_set)]
        connection = self.server.connection()
        calls, reconciles, cpu = self.calls(), self.reconciled(), self.operator.cpu()
        pending, began = [], time.monotonic()
        numbers = random.sample(range(self.clusters), min(count, self.clusters))
        for turn, number in enumerate(numbers):
            time.sleep(max(0.0, began + turn * 2 / self.options.rate - time.monotonic()))
            for kind in ("cluster", "stream"):
                pending.append((kind, *self.change_one(connection, kind, number, expected, lock)))
        deadline = time.monotonic() + 120
        while expected and time.monotonic() < deadline:
            time.sleep(0.1)
        for watch in watches:
            watch.end()
        lost = len(expected)
        cpu = self.operator.cpu() - cpu
        plain = self.round_trips(connection)
        for kind, sent, parts in pending:
            if all(part for part in parts):
                took[kind].append(1000 * (max(part[0] for part in parts) - sent))
        calls, reconciles = self.calls() - calls, self.reconciled() - reconciles
        return {"cluster": took["cluster"], "stream": took["stream"], "lost": lost, "round trips": plain,
                "cpu per change": 1000 * cpu / len(pending), "load": os.getloadavg()[0],
                "calls": {f"{verb} {kind}": int(n) for (verb, kind), n in calls.items()},
                "calls per reconcile": sum(n for (verb, kind), n in calls.items()
                                           if kind != "Lease" and verb != "watch") / max(1, sum(reconciles.values())),
                "reconciles": {name: int(n) for name, n in reconciles.items()}}

    @staticmethod
    def round_trips(connection, count=100):
        """ms of one write of the API server, which no reconcile is faster than."""
        took = []
        for turn in range(count):
            sent = time.monotonic()
            connection.send("PATCH", "/api/v1/namespaces/sluice-system", {
                "metadata": {"annotations": {"turn": str(turn)}}}, MERGE)
            took.append(1000 * (time.monotonic() - sent))
        return took

    def admission(self, count):
        """ms of an API server's answer to a new Stream that is not kept, without and with the operator's webhook."""
        connection, path = self.server.connection(), f"{world.HOOKS}/{world.HOOK}"
        took = []
        for on in (False, True):
            hook = connection.send("GET", path)["webhooks"][0]
            hook["rules"][0]["resources"] = ["streams"] if on else ["nothing"]
            connection.send("PATCH", path, {"webhooks": [hook]}, MERGE)
            time.sleep(2)  # the API server follows its configuration a moment later
            took.append([])
            for turn in range(count):
                ns, name = name_of(random.randrange(self.clusters), self.per_namespace)
                sent = time.monotonic()
                connection.send("POST", f"{GROUP}/namespaces/{ns}/streams?dryRun=All", {
                    "apiVersion": "sluice.dev/v1alpha1", "kind": "Stream", "metadata": {"name": f"new-{turn}"},
                    "spec": {"cluster": name, "mode": "Partitioned", "partitions": 1}})
                took[-1].append(1000 * (time.monotonic() - sent))
        hook["rules"][0]["resources"] = ["nothing"]
        connection.send("PATCH", path, {"webhooks": [hook]}, MERGE)
        reviews = sum(value for name, _, value in self.operator.metrics()
                      if name == "sluice_operator_admission_reviews_total")
        return {"without": took[0], "with": took[1], "reviews": int(reviews)}

    def change_one(self, connection, kind, number, expected, lock):
        ns, name = name_of(number, self.per_namespace)
        self.turn = getattr(self, "turn", 0) + 1
        if kind == "cluster":
            path = f"{GROUP}/namespaces/{ns}/streamclusters/{name}"
            memory = f"{1000 + self.turn}Mi"
            body = {"spec": {"resources": {"requests": {"memory": memory}}}}
            parts = [("set", name, memory), ("cluster", name, None)]
        else:
            name = f"{name}-s{random.randrange(self.options.streams)}"
            path = f"{GROUP}/namespaces/{ns}/streams/{name}"
            body = {"spec": {"retention": {"ms": 1000000 + self.turn}}}
            parts = [("stream", name, None)]
        found = [[] for _ in parts]
        generation = connection.send("GET", path)["metadata"]["generation"] + 1
        with lock:
            for (which, key, value), slot in zip(parts, found):
                expected[which, key] = (None, generation if value is None else value, slot)
        sent = time.monotonic()
        connection.send("PATCH", path, body, MERGE)
        return sent, found


def spread(numbers, digits=1):
    if not numbers:
        return "–"
    ordered = sorted(numbers)
    p99 = ordered[math.ceil(len(ordered) * 0.99) - 1]  # by the nearest rank: of a hundred the last but one
    return " / ".join(f"{n:.{digits}f}" for n in (ordered[0], statistics.median(ordered), p99, ordered[-1]))


def measure(fleet, size, options):
    out = {"size": size}
    began = time.monotonic()
    if fleet.operator is None:
        fleet.start()
    fleet.grow(size)
    say(f"{size} clusters made in {time.monotonic() - began:.0f} s")
    fleet.wait_all_looked_at()
    deadline = time.monotonic() + options.patience
    while (left := fleet.unapplied()) and time.monotonic() < deadline:
        say(f"{left} not applied yet")
        time.sleep(5)
    wait_until(lambda: fleet.pods_ready() >= size * options.brokers, "the pods", lambda: str(fleet.pods_ready()), 600)
    out["made"] = time.monotonic() - began
    say(f"all applied {out['made']:.0f} s after the first was made")
    fleet.wait_quiet(options.patience)
    out["memory made"] = fleet.operator.memory()
    out["starts"], out["cpu of a start"] = [], []
    for _ in range(options.starts):
        fleet.operator.stop()
        fleet.start()
        out["starts"].append(fleet.wait_all_looked_at())
        out["cpu of a start"].append(fleet.operator.cpu())
        say(f"started in {out['starts'][-1]} s, {out['cpu of a start'][-1]:.1f} s of CPU")
    fleet.wait_quiet(options.patience)
    out["memory started"] = fleet.operator.memory()
    out["quiet"] = fleet.quiet(options.quiet)
    say(f"quiet: {out['quiet']}")
    out["change"] = fleet.change(options.changes)
    say(f"clusters {spread(out['change']['cluster'])}, streams {spread(out['change']['stream'])} ms, "
        f"{out['change']['lost']} lost, a write {spread(out['change']['round trips'])}; {out['change']['calls']} in {out['change']['reconciles']}")
    out["admission"] = fleet.admission(50)
    say(f"a new Stream {spread(out['admission']['without'])} ms, with the webhook {spread(out['admission']['with'])} ms; "
        f"{out['admission']['reviews']} reviews")
    fleet.wait_quiet(60)
    out["memory changed"] = fleet.operator.memory()
    say(f"MiB now/highest: made {out['memory made']}, started {out['memory started']}, "
        f"changed {out['memory changed']}")
    return out


def table(rows, options):
    both = {row["size"]: row for row in rows}
    sizes = list(both)

    def line(what, text, aim):
        return f"| {what} | " + " | ".join(text(both[size]) for size in sizes) + f" | {aim} |"
    heads = [f"{size} clusters, {size * options.streams} streams" for size in sizes]
    return "\n".join([
        "| | " + " | ".join(heads) + " | aim |", "|---|" + "---|" * (len(sizes) + 1),
        line("a change of a StreamCluster to applied, ms", lambda r: spread(r["change"]["cluster"]), "p99 100"),
        line("a change of a Stream to applied, ms", lambda r: spread(r["change"]["stream"]), "p99 100"),
        line("one write of this API server at that time, ms", lambda r: spread(r["change"]["round trips"]), ""),
        line("CPU of the operator for a change, ms", lambda r: f"{r['change']['cpu per change']:.1f}", ""),
        line("load of the machine then", lambda r: f"{r['change']['load']:.0f}", ""),
        line("changes never seen applied", lambda r: str(r["change"]["lost"]), "0"),
        line("requests to the API per reconcile, while changing",
             lambda r: f"{r['change']['calls per reconcile']:.2f}", ""),
        line("resident after a start, MiB (highest)",
             lambda r: "{:.0f} ({:.0f})".format(*r["memory started"]), "40 for 100, 100 for 1000"),
        line("resident when all was made in its life, MiB (highest)",
             lambda r: "{:.0f} ({:.0f})".format(*r["memory made"]), ""),
        line("start to every object reconciled, s", lambda r: spread([s for s in r["starts"] if s]), ""),
        line(f"writes in {options.quiet} s at rest, but for the Lease",
             lambda r: str(sum(r["quiet"]["writes"].values())), "0"),
        line(f"reads in {options.quiet} s at rest", lambda r: str(sum(r["quiet"]["reads"].values())), ""),
        line(f"reconciles in {options.quiet} s at rest",
             lambda r: str(sum(r["quiet"]["reconciles"].values())), ""),
        line("a new Stream, ms", lambda r: spread(r["admission"]["without"]), ""),
        line("a new Stream, asked about by the webhook, ms", lambda r: spread(r["admission"]["with"]), ""),
        line("CPU at rest, of one core", lambda r: f"{100 * r['quiet']['cpu']:.1f} %", ""),
    ])


def main():
    parser = argparse.ArgumentParser(prog="tests/suites/fleet/run")
    parser.add_argument("--kwok", required=True)
    parser.add_argument("--sizes", default="100,1000")
    parser.add_argument("--streams", type=int, default=10, help="of each cluster")
    parser.add_argument("--brokers", type=int, default=1, help="of each cluster")
    parser.add_argument("--changes", type=int, default=300, help="of clusters, and as many of streams")
    parser.add_argument("--rate", type=float, default=10, help="changes a second, of clusters and streams in turn")
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--quiet", type=int, default=120, help="seconds at rest")
    parser.add_argument("--patience", type=int, default=600, help="seconds to wait for what should come")
    parser.add_argument("--in-one-namespace", action="store_true")
    parser.add_argument("--operator-flags", default="")
    parser.add_argument("--wrap", default="", help="a command before the operator's, such as perf record")
    parser.add_argument("--keep", action="store_true", help="waits at the end, for a look")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # by way of finally
    home = os.environ.get("SLUICE_HOME") or os.path.expanduser("~/.cache/sluice")
    work = tempfile.mkdtemp(prefix="sluice-fleet-")
    server = world.Server(os.environ.get("KUBE_BIN", f"{home}/kubernetes/bin"), work)
    fleet, rows = Fleet(server, options), []
    try:
        server.start()
        world.install(server)
        world.install_webhook(server, fleet.hook)
        server.start_controllers(options.kwok)
        for size in map(int, options.sizes.split(",")):
            rows.append(measure(fleet, size, options))
            print(table(rows, options), flush=True)
        if options.keep:
            say(f"kept: KUBECONFIG={work}/kubeconfig, operator {fleet.operator.process.pid}")
            while True:
                time.sleep(60)
    finally:
        if fleet.operator:
            fleet.operator.stop()
        server.stop()
        if not options.keep:
            logs = ROOT / "build/tests/fleet"
            logs.mkdir(parents=True, exist_ok=True)
            for log in pathlib.Path(work).glob("*.log"):
                shutil.copy(log, logs)
            shutil.rmtree(work, ignore_errors=True)
    print(f"{len(rows)} passed, 0 failed")


if __name__ == "__main__":
    main()
