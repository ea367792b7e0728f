"""A load climbs tenfold, holds and falls: shards and brokers follow it, and no record pays for that.

On a cluster that deploy/up has started and nobody uses, with the Prometheus of its samples. Brokers are scaled by the
bandwidth that NETWORK_BYTES gives each of them, in windows of a minute or so; the cluster is put back as it was. Ends
with "N passed, N failed"; writes RESULTS.md and operator/autoscale/climb.svg when the load ran to its end.

usage: run
"""
import json
import os
import pathlib
import subprocess
import sys
import threading
import time
import traceback
import urllib.parse
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "e2e"))
import e2e_test as e2e  # noqa: E402
import load  # noqa: E402

STREAM = "climb"
PLOT = e2e.ROOT / "operator/autoscale/climb.svg"
BROKERS_MAX = 5
# (seconds, bytes per second); the last goes on until shards and brokers are back, or BACK_S.
PHASES = [(60, 0.33e6), (30, 0.9e6), (30, 1.8e6), (180, 3.3e6), (30, 1.2e6), (None, 0.33e6)]
BACK_S = 360
PRODUCERS = 4
# Of each broker. The load makes 3 MB/s of network at its least and 26 at its most, copies and Prometheus's looks
# included, all brokers together: at a target of 60 % a broker's share of one, and of four.
NETWORK_BYTES = 11_000_000
# The volumes are folders on one disk of the machine: what else is on it is no reason for a broker.
BROKER_SCALING = {"min": 3, "max": BROKERS_MAX, "networkBytesPerSecond": NETWORK_BYTES, "spaceTargetPercent": 95,
                  "scaleUpStabilizationSeconds": 15, "scaleDownStabilizationSeconds": 90, "cooldownSeconds": 30}
SHARD_SCALING = {"minShards": 1, "maxShards": 8, "scaleDownStabilizationSeconds": 30}


class Profile:
    """The load's rate by the time since it began."""

    def __init__(self):
        self.began = time.monotonic()

    def __call__(self):
        at = time.monotonic() - self.began
        for seconds, rate in PHASES:
            if seconds is None or at < seconds:
                return rate
            at -= seconds
        return PHASES[-1][1]

    def falls_at(self):
        return self.began + sum(seconds for seconds, _ in PHASES if seconds)


class Sight(threading.Thread):
    """Notes every second how many shards and brokers there are, and each decision about brokers."""

    def __init__(self, running, profile):
        super().__init__(daemon=True)
        self.running, self.profile, self.stopping = running, profile, threading.Event()
        self.points, self.broker_decisions, self.failures = [], {}, 0  # points: (s, shards, wanted, ready, bytes/s)

    def look(self, before):
        objects = json.loads(e2e.kubectl("get", f"streamcluster/{e2e.CLUSTER}", f"stream/{STREAM}", "-o", "json"))
        cluster, stream = objects["items"]
        decision = cluster["status"].get("lastDecision")
        if decision:
            self.broker_decisions[decision["time"], decision["action"], decision["reason"]] = decision
        now, stored = time.monotonic(), self.running.stored()
        rate = (stored - before[1]) * load.VALUE_BYTES / (now - before[0])
        self.points.append((now - self.profile.began, stream["status"].get("openShards", 0),
                            cluster["spec"]["brokers"], cluster["status"].get("readyBrokers", 0), rate))
        return now, stored

    def run(self):
        before, shown = (time.monotonic(), self.running.stored()), None
        while not self.stopping.wait(1):
            try:
                before = self.look(before)
            except AssertionError:  # kubectl was refused; looked at again in a second
                self.failures += 1
                continue
            at, shards, wanted, ready, rate = self.points[-1]
            if (shards, wanted, ready) != shown:
                shown = shards, wanted, ready
                print(f"{at:5.0f} s  {rate / 1e6:4.2f} MB/s  shards {shards}  brokers {ready} of {wanted}", flush=True)

    def back(self):
        return bool(self.points) and self.points[-1][1:4] == (SHARD_SCALING["minShards"], 3, 3)

    def stop(self):
        self.stopping.set()
        self.join(60)

    def of(self, column):
        return [point[column] for point in self.points]


def prometheus():
    pods = json.loads(e2e.kubectl("get", "pods", "-l", "app.kubernetes.io/name=prometheus", "-o", "json"))["items"]
    return f"http://{pods[0]['status']['podIP']}:9090"


def beyond_the_shards(running):
    """The share of what was stored that was beyond a shard's limit of records in a second; that of bytes is farther."""
    limit = e2e.get("streamcluster", e2e.CLUSTER)["spec"].get("limits", {}).get("shardWriteRecordsPerSecond", 1000)
    return sum(max(0, records - limit) for records in running.by_shard().values()) / running.stored()


def refused_by_the_shards():
    query = urllib.parse.urlencode({"query": f'sum(sluice_shard_throttled_records_total{{stream="{STREAM}"}})'})
    with urllib.request.urlopen(f"{prometheus()}/api/v1/query?{query}", timeout=30) as got:
        return int(float(json.load(got)["data"]["result"][0]["value"][1]))


def read_back(history):
    command = [e2e.BIN / "sluice", "--broker", e2e.any_broker(), "consume", STREAM, "--from-beginning", "--until-end"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:
        for line in reader.stdout:
            history.see(line)
    assert reader.returncode == 0, f"sluice consume: exit {reader.returncode}"


def seconds_of(timestamp, zero):
    """From a time of the status to the load's seconds."""
    whole, _, part = timestamp.rstrip("Z").partition(".")
    at = time.mktime(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) - time.timezone + float(f"0.{part or 0}")
    return at - zero


def decisions(sight, zero):
    """(seconds, text, figures) of what was done, oldest first."""
    rows = []
    for decision in e2e.get("stream", STREAM)["status"].get("decisions", []):
        if decision["action"] == "None":
            continue
        figures = decision["inputs"]
        rows.append((decision["time"], f"{decision['action']} of shard {', '.join(map(str, decision['shards']))}",
                     decision["reason"],
                     f"{float(figures['bytesPerSecond']) / 1e6:.2f} MB/s, {float(figures['recordsPerSecond']):.0f} "
                     f"records/s in {figures['openShards']} shards; needed: {figures.get('shardsNeeded', 'not told')}"))
    for decision in sight.broker_decisions.values():
        if decision["action"] not in ("AddBroker", "DrainBroker"):
            continue
        figures = decision["inputs"]
        rows.append((decision["time"], f"{decision['action']}, of {figures['brokers']}", decision["reason"],
                     f"network of a broker: {figures['network']}; target {figures['target']}"))
    return [(seconds_of(at, zero), *row) for at, *row in sorted(rows) if seconds_of(at, zero) > -1]


def apply_stream():
    stream = {"apiVersion": "sluice.dev/v1alpha1", "kind": "Stream", "metadata": {"name": STREAM},
              "spec": {"cluster": e2e.CLUSTER, "mode": "Elastic", "deletionPolicy": "Delete",
                       "autoscaling": SHARD_SCALING}}
    e2e.kubectl("apply", "-f", "-", stdin=json.dumps(stream))
    e2e.wait_for(lambda: e2e.condition("stream", STREAM, "Ready"), f"stream {STREAM}")


def put_back(spec):
    """The cluster as it was; the volumes of the brokers that came and went go with them."""
    scaling = spec.get("autoscaling", {}).get("brokers")
    e2e.patch({"autoscaling": {"brokers": scaling}, "brokers": spec["brokers"]})
    e2e.kubectl("delete", "stream", STREAM, "--ignore-not-found")
    e2e.wait_for(lambda: e2e.cluster_ready(spec["brokers"]), "the cluster as it was", 300)
    for index in range(spec["brokers"], BROKERS_MAX):
        claim = f"data-{e2e.CLUSTER}-{index}"
        if claim not in e2e.kubectl("get", "pvc", "-o", "name"):
            continue
        e2e.kubectl("annotate", "pvc", claim, "--overwrite", "sluice.dev/delete-after=2020-01-01T00:00:00Z")
        e2e.wait_for(lambda: claim not in e2e.kubectl("get", "pvc", "-o", "name"), f"{claim} to go", 60)


def under_load(profile):
    """Runs the load to its end, everything back or BACK_S over; the load and what was seen."""
    addresses = [f"{e2e.pod_ip(index)}:9090" for index in range(3)]  # brokers that stay
    running = load.Load(STREAM, addresses, PRODUCERS, profile)
    sight = Sight(running, profile)
    running.start()
    sight.start()
    try:
        while time.monotonic() < profile.falls_at() + BACK_S:
            if time.monotonic() > profile.falls_at() and sight.back():
                break
            time.sleep(1)
    finally:
        running.stop()
        sight.stop()
    return running, sight


def results(facts, table):
    lines = ["# A load that climbs tenfold", "",
             f"`deploy/up && tests/suites/climb/run`, {time.strftime('%Y-%m-%d', time.gmtime())}: three brokers on three "
             f"nodes of one machine with {os.cpu_count()} cores, which others use too. Records of {load.VALUE_BYTES} bytes "
             f"with {PRODUCERS * load.KEYS} keys through gRPC; shards' limits 1 MiB and 1,000 records a second. "
             f"Everything is read back and compared record by record after the load.", "",
             "Brokers scale by `spec.autoscaling.brokers: " + json.dumps(BROKER_SCALING) + "`, the stream by "
             "`spec.autoscaling: " + json.dumps(SHARD_SCALING) + "`: windows short enough to watch, not a recommendation.",
             "", "| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in facts), "",
             "![open and needed shards](../../../operator/autoscale/climb.svg)", "",
             "| after, s | decision | reason | figures it was made on |", "|---|---|---|---|",
             *(f"| {at:.0f} | {what} | {why} | {figures} |" for at, what, why, figures in table), ""]
    (HERE / "RESULTS.md").write_text("\n".join(lines))


def plot(seconds):
    PLOT.parent.mkdir(exist_ok=True)
    e2e.run(e2e.BIN / "sluice", "autoscale", "plot", STREAM, "--namespace", "default", "--prometheus", prometheus(),
            "--last", f"{seconds}s", "--out", PLOT)


def facts_of(running, sight, history):
    refusals = running.refusals()
    unanswered = sum(len(call.outcomes) - call.answered for call in running.calls)
    rates = [rate for _, rate in PHASES]
    return [
        ("load asked for, MB/s", " → ".join(f"{rate / 1e6:.2f}" for rate in rates) + f" over {sight.points[-1][0]:.0f} s"),
        ("load acknowledged, MB/s, median of the seconds of the hold", f"{held_rate(sight) / 1e6:.2f}"),
        ("open shards, least / most / at the end",
         f"{min(sight.of(1))} / {max(sight.of(1))} / {sight.points[-1][1]}"),
        ("ready brokers, least / most / at the end",
         f"{min(sight.of(3))} / {max(sight.of(3))} / {sight.points[-1][3]}"),
        ("records acknowledged", f"{running.stored():,}"),
        ("acknowledged and lost", history.lost()),
        ("stored twice", history.duplicated()),
        ("out of their key's order", history.reordered),
        ("changed, or never sent", history.changed + history.foreign),
        ("not acknowledged", f"{sum(refusals.values()) + unanswered}{' ' + str(dict(refusals)) if refusals else ''}, of "
                             f"which stored: {history.unknown_and_stored()}; calls that broke: {len(running.breaks)}"),
        ("acknowledgement of a request, ms, p50 / p99 / max",
         " / ".join(f"{running.latency_s(share) * 1000:.0f}" for share in (0.5, 0.99, 1))),
        ("records beyond 1,000 of their shard in their second, which gRPC is not refused for",
         f"{beyond_the_shards(running) * 100:.2f} %; refused: {refused_by_the_shards()}"),
    ]


def held_rate(sight):
    begin = sum(seconds for seconds, _ in PHASES[:3])
    held = sorted(point[4] for point in sight.points if begin <= point[0] < begin + PHASES[3][0])
    return held[len(held) // 2]


# ---- what is checked ---------------------------------------------------------------------------

def check_checker():
    """The checker finds a lost, a repeated, a reordered, a changed and a foreign record."""
    call = load.Call(None, "", "p", None, None)
    call.outcomes = bytearray([load.STORED]) * (3 * load.KEYS)
    lines = [f"{call.key(n)}\t{call.value(n)}\n" for n in range(3 * load.KEYS)]
    sound = load.History([call])
    for line in lines:
        sound.see(line)
    assert (sound.lost(), sound.duplicated(), sound.reordered, sound.changed, sound.foreign) == (0,) * 5, vars(sound)
    broken = load.History([call])
    swapped = lines[7 + load.KEYS], lines[7]
    for line in [*swapped, *lines[10:], lines[20], lines[0].replace("\t", "\tx"), "p/0\t0 changed\n", "q/0\t0 x\n"]:
        broken.see(line)
    found = broken.lost(), broken.duplicated(), broken.reordered, broken.changed, broken.foreign
    assert found == (9, 2, 1, 1, 2), found  # 0 to 9 but 7; 20 and 7 + KEYS; 7; a value of 0; x0 and q's


def checks(running, sight, history):
    shards, brokers = sight.of(1), sight.of(3)
    yield "every acknowledged record is there", running.stored() > 0 and history.lost() == 0, history.examples
    yield "no record is stored twice", history.duplicated() == 0, history.examples
    yield "each key's records are in order", history.reordered == 0, history.examples
    yield "nothing is there that was not sent so", history.changed + history.foreign == 0, history.examples
    yield "shards split and merged back", max(shards) >= 4 and shards[-1] == SHARD_SCALING["minShards"], shards[-1]
    yield "brokers came and went again", max(brokers) > 3 and brokers[-1] == 3, (max(brokers), brokers[-1])


def climb():
    e2e.wait_for(e2e.cluster_ready, "the cluster of deploy/up to be ready")
    spec = e2e.get("streamcluster", e2e.CLUSTER)["spec"]
    try:
        apply_stream()
        e2e.patch({"autoscaling": {"brokers": BROKER_SCALING}})
        profile, zero = Profile(), time.time()
        running, sight = under_load(profile)
        plot(int(time.monotonic() - profile.began))
        history = load.History(running.calls)
        read_back(history)
        results(facts_of(running, sight, history), decisions(sight, zero))
        for one in running.breaks:
            print(f"a call broke: {one}")
        return list(checks(running, sight, history))
    finally:
        put_back(spec)


def main():
    check_checker()
    try:
        found = climb()
    except Exception:  # reported; nothing follows
        traceback.print_exc()
        print("0 passed, 1 failed")
        return 1
    for name, holds, seen in found:
        print(f"ok   {name}" if holds else f"FAIL {name}: {seen}")
    print((HERE / "RESULTS.md").read_text())
    failed = sum(not holds for _, holds, _ in found)
    print(f"{len(found) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
