"""Brokers by a HorizontalPodAutoscaler with prometheus-adapter, and by KEDA, each as its users run it.

On a cluster that deploy/up has started and nobody uses, with the Prometheus of its samples; the cluster is put back as it
was. For each of the two: a load has it add a broker, and the broker is drained and removed again when the load has gone;
without a Prometheus it removes nothing; and where spec.autoscaling.brokers is set beside it, the operator stands back.
Every acknowledged record is read back and compared. Ends with "N passed, N failed"; writes its part of RESULTS.md when everything held.

usage: run [adapter] [keda]
"""
import json
import os
import pathlib
import sys
import threading
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "e2e"), str(HERE.parent / "climb")]
import e2e_test as e2e  # noqa: E402
import install  # noqa: E402
import load  # noqa: E402

RESULTS = HERE / "RESULTS.md"
STREAM = "scaled"
HIGH, LOW = 4.0e6, 0.1e6  # bytes per second
PRODUCERS = 3
TARGET = 0.03  # of its processor time for each broker: three pass it under HIGH, and stay below two thirds of it under LOW
MOST = 4
# Windows short enough to watch, not a recommendation.
DOWN_AFTER_S = 60
BEHAVIOR = {"scaleUp": {"stabilizationWindowSeconds": 0, "policies": [{"type": "Pods", "value": 1, "periodSeconds": 15}]},
            "scaleDown": {"stabilizationWindowSeconds": DOWN_AFTER_S,
                          "policies": [{"type": "Pods", "value": 1, "periodSeconds": 15}]}}
RATE_S = 60  # what the samples' query looks back over
# A job of Prometheus: a broker that does not answer.
UNREADABLE = f"""
- job_name: unreadable
  static_configs:
  - targets: [127.0.0.1:9]
    labels: {{namespace: default, app_kubernetes_io_instance: {e2e.CLUSTER}}}
"""
SYNC_S = 15  # the controller's own look at its metrics
OURS = {"min": 4, "max": 4, "cooldownSeconds": 5, "scaleUpStabilizationSeconds": 5}


class Sight(threading.Thread):
    """Notes each second what the two say; prints what changed."""

    def __init__(self, hpa):
        super().__init__(daemon=True)
        self.hpa, self.began, self.stopping = hpa, time.monotonic(), threading.Event()
        self.points, self.failures = [], 0  # (s, metric of a broker, asked for by the HPA, spec.brokers, there, ready)

    def look(self):
        hpa, cluster = json.loads(e2e.kubectl("get", f"hpa/{self.hpa}", f"streamcluster/{e2e.CLUSTER}", "-o",
                                              "json"))["items"]
        status, metrics = cluster["status"], hpa["status"].get("currentMetrics") or [{}]
        metric = (metrics[0].get("external") or {}).get("current", {}).get("averageValue", "none")
        return (metric, hpa["status"].get("desiredReplicas", 0), cluster["spec"]["brokers"], status["brokers"],
                status.get("readyBrokers", 0))

    def run(self):
        shown = None
        while not self.stopping.wait(1):
            try:
                seen = self.look()
            except AssertionError:  # not there yet, or kubectl was refused
                self.failures += 1
                continue
            at = time.monotonic() - self.began
            self.points.append((at, *seen))
            if seen[1:] != shown:
                shown = seen[1:]
                print(f"{at:5.0f} s  a broker uses {seen[0]}  wanted by the HPA {seen[1]}  spec.brokers {seen[2]}  "
                      f"there {seen[3]}  ready {seen[4]}", flush=True)

    def stop(self):
        self.stopping.set()
        self.join(60)

    def steps(self):
        """The points at which a number changed."""
        return [point for before, point in zip([None, *self.points], self.points)
                if before is None or before[2:] != point[2:]]


class Recorded(AssertionError):
    """What did not hold is among what was found."""


def hpa_condition(hpa, wanted):
    for one in json.loads(e2e.kubectl("get", "hpa", "-o", "json"))["items"]:
        for entry in one.get("status", {}).get("conditions", []):
            if (one["metadata"]["name"], entry["type"]) == (hpa, wanted):
                return f"{entry['status']} {entry['reason']}: {entry['message']}"
    return "none"


def brokers():
    return e2e.get("streamcluster", e2e.CLUSTER)["spec"]["brokers"]


def decision():
    return e2e.get("streamcluster", e2e.CLUSTER)["status"].get("lastDecision", {})


def stays(number, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert brokers() == number, f"spec.brokers became {brokers()}"
        time.sleep(1)


def apply_stream():
    e2e.kubectl("apply", "-f", "-", stdin=json.dumps(
        {"apiVersion": "sluice.dev/v1alpha1", "kind": "Stream", "metadata": {"name": STREAM},
         "spec": {"cluster": e2e.CLUSTER, "mode": "Partitioned", "partitions": 12, "deletionPolicy": "Delete"}}))
    e2e.wait_for(lambda: e2e.condition("stream", STREAM, "Ready"), f"stream {STREAM}")


def holds_shards(broker):
    return any(state["id"] == broker and state.get("shards", 0) > 0
               for state in e2e.get("streamcluster", e2e.CLUSTER)["status"]["brokerStates"])


def state_of(broker):
    for state in e2e.get("streamcluster", e2e.CLUSTER)["status"]["brokerStates"]:
        if state["id"] == broker:
            return state["state"]
    return "gone"


def read_back(history):
    out = e2e.sluice("consume", STREAM, "--from-beginning", "--until-end", timeout=600).stdout
    for line in out.splitlines():
        history.see(line)


def prometheus_stands(replicas):
    e2e.kubectl("scale", "deployment/prometheus", f"--replicas={replicas}")
    e2e.kubectl("rollout", "status", "deployment/prometheus", "--timeout=120s")
    if not replicas:
        e2e.wait_for(lambda: "prometheus-" not in e2e.kubectl("get", "pods", "-o", "name"), "its pod to go")


def configure_prometheus(text):
    e2e.kubectl("patch", "configmap", "prometheus", "--type=merge", "-p", json.dumps({"data": {"prometheus.yml": text}}))


class Run:
    """One of the two, from its installation to its end; `found` is (what, whether it held, what was seen)."""

    def __init__(self, tool):
        self.tool, self.found, self.facts = tool, [], []
        self.rate = LOW
        self.sight = Sight(tool.hpa)

    def check(self, what, holds, seen=""):
        self.found.append((what, holds, seen))
        print(f"{'ok  ' if holds else 'FAIL'} {what}{'' if holds else f': {seen}'}", flush=True)

    def waits(self, what, condition, seconds):
        began = time.monotonic()
        try:
            e2e.wait_for(condition, what, seconds)
        except AssertionError as error:
            self.check(what, False, f"{error}; {hpa_condition(self.tool.hpa, 'ScalingActive')}; "
                                    f"{hpa_condition(self.tool.hpa, 'AbleToScale')}; {decision()}")
            raise Recorded(what) from error
        self.check(what, True)
        return time.monotonic() - began

    def up_and_down(self):
        addresses = [f"{e2e.pod_ip(index)}:9090" for index in range(3)]  # brokers that stay
        running = load.Load(STREAM, addresses, PRODUCERS, lambda: self.rate)
        running.start()
        try:
            self.waits("it has figures of the brokers",
                       lambda: hpa_condition(self.tool.hpa, "ScalingActive").startswith("True"), 150)
            self.check("three brokers while there is little to do", brokers() == 3, brokers())
            text = e2e.plugin("status", check=False).stdout
            self.check("`kubectl sluice status` says who decides",
                       f"ScaleSubresource: HorizontalPodAutoscaler {self.tool.hpa} decides" in text, text)
            self.rate = HIGH
            took = self.waits("the load has it ask for a fourth broker", lambda: brokers() == 4, 180)
            self.facts.append(("from the load to spec.brokers 4, s", f"{took:.0f}"))
            self.waits("the fourth broker comes and gets shards",
                       lambda: e2e.cluster_ready(4) and holds_shards(3), 180)
            self.blind()
            self.rate = LOW
            took = self.waits("without the load it asks for three again", lambda: brokers() == 3,
                              DOWN_AFTER_S + 180)
            self.facts.append((f"from the end of load and blindness to spec.brokers 3 (window {DOWN_AFTER_S} s), s", f"{took:.0f}"))
            took = self.waits("the fourth broker is drained and goes", lambda: e2e.cluster_ready(3), 300)
            self.facts.append(("from there to the drained broker's end, s", f"{took:.0f}"))
        finally:
            running.stop()
        history = load.History(running.calls)
        read_back(history)
        self.facts += [("records acknowledged", f"{running.stored():,}"),
                       ("acknowledged and lost", history.lost()), ("stored twice", history.duplicated()),
                       ("out of their key's order", history.reordered),
                       ("changed, or never sent", history.changed + history.foreign),
                       ("calls that broke", len(running.breaks))]
        self.check("every acknowledged record is there, once and in its key's order",
                   running.stored() > 0 and not (history.lost() or history.duplicated() or history.reordered
                                                 or history.changed or history.foreign), history.examples)

    def blind(self):
        """Little load and no Prometheus, then one that cannot read a broker: what is not seen removes no broker."""
        config = e2e.get("configmap", "prometheus")["data"]["prometheus.yml"]
        prometheus_stands(0)
        try:
            self.rate = LOW
            self.waits("without a Prometheus it says that it cannot tell",
                       lambda: hpa_condition(self.tool.hpa, "ScalingActive").startswith("False"), 90)
            stays(4, DOWN_AFTER_S + 2 * SYNC_S)
            self.check("and removes nothing", brokers() == 4)
            configure_prometheus(config + UNREADABLE)
            prometheus_stands(1)
            stays(4, RATE_S + 2 * SYNC_S + 10)
            said = hpa_condition(self.tool.hpa, "ScalingActive")
            self.check("nor while its Prometheus cannot read one of the brokers",
                       brokers() == 4 and said.startswith("False"), said)
            self.facts.append(("what it says meanwhile", said.split("{")[0]))
        finally:
            prometheus_stands(0)
            configure_prometheus(config)
            prometheus_stands(1)

    def contended(self):
        """spec.autoscaling.brokers asks for four, the HorizontalPodAutoscaler for three."""
        e2e.patch({"autoscaling": {"brokers": OURS}})
        self.waits("with autoscaling.brokers beside it the operator says that it stands back",
                   lambda: decision().get("reason") == "Contended", 300)
        self.facts.append(("what the operator says", decision()["message"]))
        seen = brokers()
        stays(seen, 2 * SYNC_S + 10)
        self.check("and neither writes the number any more", brokers() == seen)
        text = e2e.plugin("status", check=False).stdout
        self.check("`kubectl sluice status` says so", "Contended" in text, text)
        why = e2e.plugin("why", f"cluster/{e2e.CLUSTER}").stdout
        self.check("`kubectl sluice why` says so", "Contended" in why, why)

    def hand_over(self):
        """Without it the operator decides again."""
        e2e.kubectl("delete", self.kind, install.NAME, "--wait=true", "--timeout=60s")
        self.waits("without it the operator adds the broker that it is to", lambda: brokers() == 4, 60)
        self.check("by its own decision", decision().get("action") == "AddBroker" or
                   any(one["action"] == "AddBroker" for one in e2e.get("streamcluster", e2e.CLUSTER)["status"]["decisions"]),
                   decision())

    def raised_again(self):
        """Four, three, and four again before the drain has ended: the fourth broker stays as it is."""
        e2e.patch({"autoscaling": {"brokers": None}})
        e2e.wait_for(lambda: e2e.cluster_ready(4) and holds_shards(3), "the fourth broker to get shards", 180)
        for _ in range(3):  # a drain may be over before it has been seen
            pod, seen = e2e.pod_uids()[3], []
            e2e.kubectl("scale", "streamcluster", e2e.CLUSTER, "--replicas=3")
            e2e.wait_for(lambda: (seen.append(state_of(3)) or seen[-1]) != "Running", "its drain to begin", 60)
            e2e.kubectl("scale", "streamcluster", e2e.CLUSTER, "--replicas=4")
            e2e.wait_for(lambda: e2e.cluster_ready(4) and state_of(3) == "Running" and holds_shards(3),
                         "four brokers with shards", 180)
            if seen[-1] == "Draining":
                break
        self.check("a number that is raised again ends the drain", seen[-1] == "Draining" and e2e.pod_uids()[3] == pod,
                   seen[-1])

    def all(self):
        print(f"---- {self.tool.name}", flush=True)
        scaler = self.tool.scaler(TARGET, MOST, BEHAVIOR)
        self.kind = scaler["kind"].lower()
        self.tool.install()
        try:
            apply_stream()
            install.apply([scaler | {"metadata": {**scaler["metadata"], "namespace": "default"}}])
            self.sight.start()
            self.up_and_down()
            self.contended()
            self.sight.stop()
            self.hand_over()
            self.raised_again()
        finally:
            self.sight.stop()
            e2e.kubectl("delete", self.kind, install.NAME, "--ignore-not-found", "--wait=true", "--timeout=60s")
            self.tool.remove()


def put_back(spec):
    e2e.patch({"autoscaling": {"brokers": spec.get("autoscaling", {}).get("brokers")}, "brokers": spec["brokers"]})
    e2e.kubectl("delete", "stream", STREAM, "--ignore-not-found")
    e2e.wait_for(lambda: e2e.cluster_ready(spec["brokers"]), "the cluster as it was", 300)
    for index in range(spec["brokers"], MOST):
        claim = f"data-{e2e.CLUSTER}-{index}"
        if claim in e2e.kubectl("get", "pvc", "-o", "name"):
            e2e.kubectl("annotate", "pvc", claim, "--overwrite", "sluice.dev/delete-after=2020-01-01T00:00:00Z")
            e2e.wait_for(lambda: claim not in e2e.kubectl("get", "pvc", "-o", "name"), f"{claim} to go", 60)


def results(runs):
    lines = ["# Brokers by others' autoscalers", "",
             f"`tests/suites/hpa_keda/run`, {time.strftime('%Y-%m-%d', time.gmtime())}: three brokers on three nodes of one "
             f"machine with {os.cpu_count()} cores, which others use too. {PRODUCERS} producers through gRPC, "
             f"{LOW / 1e6:.1f} → {HIGH / 1e6:.1f} → {LOW / 1e6:.1f} MB/s, twelve partitions in three copies; a target of "
             f"{TARGET * 100:.0f} % of each broker's processor time, {DOWN_AFTER_S} s of stabilisation downwards: numbers "
             "that a small machine shows, not a recommendation.", ""]
    parts = RESULTS.read_text().split("\n## ")[1:] if RESULTS.exists() else []
    parts = {part.partition("\n")[0]: part for part in parts}
    for one in runs:
        parts[one.tool.name] = "\n".join([
            one.tool.name, "", "| | |", "|---|---|",
            *(f"| {name} | {value} |" for name, value in one.facts), "",
            "| after, s | a broker uses | wanted by the HPA | `spec.brokers` | there | ready |", "|---|---|---|---|---|---|",
            *("| " + " | ".join(map(str, (round(point[0]), *point[1:]))) + " |" for point in one.sight.steps()), "",
            *(f"- {what}" for what, _, _ in one.found), ""])
    RESULTS.write_text("\n## ".join(["\n".join(lines), *(parts[name] for name in sorted(parts, reverse=True))]))


def main():
    sources = pathlib.Path(sys.argv[1])
    wanted = sys.argv[2:] or ["adapter", "keda"]
    e2e.wait_for(e2e.cluster_ready, "the cluster of deploy/up to be ready")
    spec = e2e.get("streamcluster", e2e.CLUSTER)["spec"]
    runs, broke = [], 0
    for name in wanted:
        one = Run({"adapter": install.Adapter, "keda": install.Keda}[name](sources))
        runs.append(one)
        try:
            one.all()
        except Recorded:
            pass
        except Exception:  # noqa: BLE001  told, and counted as failed
            traceback.print_exc()
            broke += 1
        finally:
            put_back(spec)
    failed = broke + sum(not holds for one in runs for _, holds, _ in one.found)
    passed = sum(bool(holds) for one in runs for _, holds, _ in one.found)
    if not failed:
        results(runs)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
