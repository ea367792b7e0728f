"""End to end on the local Kubernetes: deploy/up, faults under load, deploy/down.

The load goes through the gRPC door of one broker after another; what was acknowledged is read back
and compared. One line a test; the last line is "N passed, N failed".
"""
import base64
import collections
import json
import os
import pathlib
import socket
import ssl
import subprocess
import sys
import threading
import time
import traceback
import urllib.parse
import urllib.request

import day_two
import ingress
import kafka_reassign
import kafka_users

ROOT = pathlib.Path(__file__).resolve().parents[2]
HOME = pathlib.Path(os.environ.get("SLUICE_HOME", pathlib.Path.home() / ".cache/sluice"))
BIN = ROOT / "build/release/bin"
KUBECONFIG = HOME / "kubeconfig"
CLUSTER = "quickstart"
RUN = f"{int(time.time()) % 100000}"  # streams of an earlier run on this cluster have other names


def run(*command, stdin=None, check=True, timeout=300):
    done = subprocess.run([str(c) for c in command], input=stdin, capture_output=True, text=True,
                          timeout=timeout, env={**os.environ, "KUBECONFIG": str(KUBECONFIG),
                                                "SLUICE_HOME": str(HOME)})
    if check and done.returncode != 0:
        raise AssertionError(f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def kubectl(*args, **kwargs):
    return run(HOME / "kubernetes/bin/kubectl", *args, **kwargs).stdout


def get(kind, name, *args):
    return json.loads(kubectl("get", kind, name, "-o", "json", *args))


def wait_for(condition, what, seconds=120):
    end = time.monotonic() + seconds
    last = None
    while True:
        try:
            if condition():
                return
        except AssertionError as error:  # an object that is not there yet
            last = error
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s for {what}" + (f": {last}" if last else ""))
        time.sleep(0.3)


def condition(kind, name, wanted):
    status = get(kind, name).get("status", {})
    for entry in status.get("conditions", []):
        if entry["type"] == wanted:
            return entry["status"] == "True"
    return False


def cluster_ready(brokers=3):
    cluster = get("streamcluster", CLUSTER)
    status = cluster.get("status", {})
    return (status.get("observedGeneration") == cluster["metadata"]["generation"]
            and status.get("readyBrokers") == brokers and status.get("brokers") == brokers
            and condition("streamcluster", CLUSTER, "Ready"))


def pod_ip(index):
    return get("pod", f"{CLUSTER}-{index}")["status"]["podIP"]


def any_broker():
    """gRPC address of a broker that runs; pods are reachable from the host."""
    pods = json.loads(kubectl("get", "pods", "-l", f"app.kubernetes.io/instance={CLUSTER}",
                              "-o", "json"))["items"]
    for pod in pods:
        ready = [c for c in pod["status"].get("conditions", []) if c["type"] == "Ready"]
        if ready and ready[0]["status"] == "True" and not pod["metadata"].get("deletionTimestamp"):
            return pod["status"]["podIP"] + ":9090"
    raise AssertionError("no broker is ready")


def sluice(*args, **kwargs):
    return run(BIN / "sluice", "--broker", any_broker(), *args, **kwargs)


class Load(threading.Thread):
    """Publishes numbered lines in small calls, each again until it is acknowledged."""

    def __init__(self, stream):
        super().__init__(daemon=True)
        self.stream, self.acked, self.stopping = stream, [], threading.Event()
        self.failures = 0

    def run(self):
        number = 0
        while not self.stopping.is_set():
            batch = [(f"k{n % 20}", f"{self.stream}-{n}") for n in range(number, number + 50)]
            lines = "".join(f"{k}\t{v}\n" for k, v in batch)
            try:
                done = sluice("produce", self.stream, "--key-separator", "\t", stdin=lines,
                              check=False, timeout=60)
                stored = done.returncode == 0
            except (AssertionError, subprocess.TimeoutExpired):
                stored = False
            if stored:
                self.acked += batch
                number += 50
            else:
                self.failures += 1
                number += 50  # unknown: never sent again, may be there
                time.sleep(0.2)

    def wait_more(self, records, seconds=120):
        goal = len(self.acked) + records
        wait_for(lambda: len(self.acked) >= goal, f"{records} more records", seconds)

    def stop(self):
        self.stopping.set()
        self.join(120)
        assert not self.is_alive(), "the load did not end"


def check_history(load):
    out = sluice("consume", load.stream, "--from-beginning", "--until-end", "-o", "json").stdout
    seen, last = collections.Counter(), {}
    for line in out.splitlines():
        record = json.loads(line)
        seen[(record["key"], record["value"])] += 1
        number = int(record["value"].rsplit("-", 1)[1])
        assert last.get(record["key"], -1) < number, f"{record['key']}: {number} out of order"
        last[record["key"]] = number
    missing = [r for r in load.acked if r not in seen]
    assert load.acked, "nothing was acknowledged"
    assert not missing, f"{len(missing)} acknowledged records are missing, the first: {missing[0]}"


def message(name, wanted):
    for entry in get("streamcluster", name).get("status", {}).get("conditions", []):
        if entry["type"] == wanted:
            return f"{entry['status']} {entry['reason']}: {entry['message']}"
    return ""


def patch(spec):
    kubectl("patch", "streamcluster", CLUSTER, "--type=merge", "-p", json.dumps({"spec": spec}))


def broker_pods():
    return {int(p["metadata"]["name"].rsplit("-", 1)[1]): p for p in json.loads(kubectl(
        "get", "pods", "-l", f"app.kubernetes.io/instance={CLUSTER}", "-o", "json"))["items"]}


def pod_uids():
    return {index: pod["metadata"]["uid"] for index, pod in broker_pods().items()}


def is_ready(pod):
    return not pod["metadata"].get("deletionTimestamp") and any(
        c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))


class Watch(threading.Thread):
    """Notes the smallest number of ready brokers while a fault goes on."""

    def __init__(self):
        super().__init__(daemon=True)
        self.fewest, self.stopping = 99, threading.Event()

    def run(self):
        while not self.stopping.is_set():
            try:
                self.fewest = min(self.fewest, sum(map(is_ready, broker_pods().values())))
            except AssertionError:
                pass  # kubectl was refused; looked at again at once
            time.sleep(0.1)

    def stop(self):
        self.stopping.set()
        self.join(60)
        return self.fewest


def rolled(brokers=3):
    status = get("streamcluster", CLUSTER)["status"]
    return cluster_ready(brokers) and status.get("updatedBrokers") == brokers


def with_load(stream, fault):
    stream = f"{stream}-{RUN}"
    sluice("stream", "create", stream, "--partitions", "6", "--replication", "3")
    load = Load(stream)
    load.start()
    try:
        load.wait_more(200)
        fault(load)
        wait_for(cluster_ready, "the cluster to be ready again", 180)
        load.wait_more(200)
    finally:
        load.stop()
    check_history(load)


# ---- tests -------------------------------------------------------------------------------------

def test_up():
    log = ROOT / "build/tests/e2e-up.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as out:
        done = subprocess.run([ROOT / "deploy/up"], stdout=out, stderr=subprocess.STDOUT,
                              timeout=1500)
    tail = "".join(log.read_text().splitlines(True)[-25:])
    assert done.returncode == 0, tail
    print(tail)


def test_invalid_resources_are_refused_with_the_reason():
    bad = {"apiVersion": "sluice.dev/v1alpha1", "kind": "StreamCluster",
           "metadata": {"name": "bad", "namespace": "default"},
           "spec": {"brokers": 1, "replication": {"factor": 3}}}
    done = run(HOME / "kubernetes/bin/kubectl", "apply", "-f", "-", stdin=json.dumps(bad),
               check=False)
    assert done.returncode != 0 and "every copy of a shard needs a broker" in done.stderr, done


def test_children_come_back():
    kubectl("delete", "service", f"{CLUSTER}-brokers")
    kubectl("patch", "statefulset", CLUSTER, "--type=merge", "-p",
            '{"spec":{"template":{"spec":{"terminationGracePeriodSeconds":7}}}}')
    wait_for(lambda: get("service", f"{CLUSTER}-brokers"), "the Service to come back", 30)
    wait_for(lambda: get("statefulset", CLUSTER)["spec"]["template"]["spec"]
             ["terminationGracePeriodSeconds"] == 60, "the StatefulSet to be mended", 30)
    wait_for(cluster_ready, "the cluster to be ready", 180)


def test_streams_made_by_clients_are_resources():
    sluice("stream", "create", "Made_By.Client", "--partitions", "2")
    names = [s["spec"].get("name", s["metadata"]["name"])
             for s in json.loads(kubectl("get", "streams", "-o", "json"))["items"]]
    assert "Made_By.Client" in names, names
    sluice("stream", "delete", "Made_By.Client", "--yes")
    wait_for(lambda: "Made_By.Client" not in kubectl("get", "streams", "-o", "json"),
             "the resource to go", 60)


def test_each_broker_pod_killed_under_load():
    def fault(load):
        for index in range(3):
            kubectl("delete", "pod", f"{CLUSTER}-{index}", "--grace-period=0", "--force")
            load.wait_more(100)
            wait_for(cluster_ready, "the cluster to be ready again", 180)
    with_load("pod-kills", fault)


def test_active_operator_killed_under_load():
    def fault(load):
        lease = get("lease", "sluice-operator", "-n", "sluice-system")
        kubectl("delete", "pod", "-n", "sluice-system", lease["spec"]["holderIdentity"],
                "--grace-period=0", "--force")
        load.wait_more(200)
        wait_for(lambda: get("lease", "sluice-operator", "-n", "sluice-system")["spec"]
                 ["holderIdentity"] not in ("", lease["spec"]["holderIdentity"]),
                 "another operator to lead", 60)
    with_load("operator-kill", fault)


def test_statefulset_deleted_under_load():
    def fault(load):
        old, pods = get("statefulset", CLUSTER)["metadata"]["uid"], pod_uids()
        kubectl("delete", "statefulset", CLUSTER, "--cascade=orphan", "--wait=false")
        wait_for(lambda: get("statefulset", CLUSTER)["metadata"]["uid"] != old,
                 "another StatefulSet", 180)
        assert pod_uids() == pods, "a broker was restarted"
        load.wait_more(100)
    with_load("statefulset", fault)


def test_scale_out_and_in_under_load():
    stream = f"scaling-{RUN}"
    sluice("stream", "create", stream, "--partitions", "8", "--replication", "3")
    def fourth_holds_shards():
        states = get("streamcluster", CLUSTER)["status"]["brokerStates"]
        return any(s["id"] == 3 and s.get("shards", 0) > 0 for s in states)

    load = Load(stream)
    load.start()
    try:
        load.wait_more(200)
        kubectl("scale", "streamcluster", CLUSTER, "--replicas=4")
        wait_for(lambda: cluster_ready(4), "four brokers", 180)
        wait_for(fourth_holds_shards, "shards to move on to the new broker", 180)
        kubectl("scale", "streamcluster", CLUSTER, "--replicas=3")
        wait_for(lambda: cluster_ready(3), "three brokers again", 300)
        load.wait_more(100)
    finally:
        load.stop()
    check_history(load)


def test_the_volume_of_a_removed_broker_is_kept_until_its_time():
    claim = f"data-{CLUSTER}-3"

    def notes():
        return get("pvc", claim)["metadata"]["annotations"]
    wait_for(lambda: "sluice.dev/delete-after" in notes(), "the intent on the claim", 60)
    assert notes()["sluice.dev/cluster-uid"] == get("streamcluster", CLUSTER)["metadata"]["uid"]
    assert notes()["sluice.dev/directory"], notes()
    kubectl("annotate", "pvc", claim, "--overwrite", "sluice.dev/delete-after=2020-01-01T00:00:00Z")
    wait_for(lambda: claim not in kubectl("get", "pvc", "-o", "name"), "the claim to go", 60)
    assert kubectl("get", "pvc", "-o", "name").count(f"data-{CLUSTER}-") == 3


def test_settings_roll_through_zone_by_zone_under_load():
    def fault(load):
        before = pod_uids()
        watch = Watch()
        watch.start()
        memory = get("streamcluster", CLUSTER)["spec"]["resources"]["requests"]["memory"]
        patch({"resources": {"requests": {"cpu": "100m",
                                          "memory": "140Mi" if memory != "140Mi" else "150Mi"}}})
        wait_for(lambda: rolled() and not set(before.values()) & set(pod_uids().values()),
                 "every broker to be restarted", 240)
        fewest = watch.stop()
        assert fewest == 2, f"{fewest} brokers were ready at one moment"
        load.wait_more(100)
    with_load("roll", fault)


def test_a_bad_image_stops_at_the_first_broker_and_is_mended():
    before = pod_uids()
    patch({"image": "registry.invalid/sluice:none"})
    wait_for(lambda: "True RollStuck" in message(CLUSTER, "Degraded"), "the roll to stop", 120)
    assert "ErrImagePull" in message(CLUSTER, "Degraded") or "ImagePullBackOff" in message(
        CLUSTER, "Degraded"), message(CLUSTER, "Degraded")
    tried = [i for i, uid in pod_uids().items() if uid != before[i]]
    assert len(tried) == 1, f"brokers {tried} were restarted"
    # A pod that somebody deletes meanwhile comes back as it was.
    other = (tried[0] + 1) % 3
    wait_for(lambda: get("statefulset", CLUSTER)["spec"]["template"]["spec"]["containers"][0]
             ["image"] != "registry.invalid/sluice:none", "the template to be held back", 30)
    kubectl("delete", "pod", f"{CLUSTER}-{other}")
    wait_for(lambda: is_ready(broker_pods()[other]), "the deleted broker to be ready", 120)
    assert pod_uids()[tried[0]] != before[tried[0]]
    third = 3 - tried[0] - other
    patch({"image": None})
    wait_for(rolled, "the edit to mend it", 120)
    assert pod_uids()[third] == before[third], "a broker was restarted for nothing"


def test_a_node_is_drained_under_load():
    def fault(load):
        node = get("pod", f"{CLUSTER}-1")["spec"]["nodeName"]
        others = [i for i, p in broker_pods().items() if p["spec"]["nodeName"] != node]
        drain = ("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=120s")
        try:
            kubectl(*drain)
            # The others' shards have two copies now: none of them may be evicted.
            eviction = {"apiVersion": "policy/v1", "kind": "Eviction",
                        "metadata": {"name": f"{CLUSTER}-{others[0]}", "namespace": "default"}}
            done = run(HOME / "kubernetes/bin/kubectl", "create", "--raw",
                       f"/api/v1/namespaces/default/pods/{CLUSTER}-{others[0]}/eviction", "-f", "-",
                       stdin=json.dumps(eviction), check=False)
            assert done.returncode != 0 and "disruption budget" in done.stderr, done
            load.wait_more(100)
        finally:
            kubectl("uncordon", node)
    with_load("node-drain", fault)


def test_any_broker_drains_pauses_and_comes_back():
    stream = f"drains-{RUN}"
    sluice("stream", "create", stream, "--partitions", "4", "--replication", "3")

    def state(broker):
        states = get("streamcluster", CLUSTER)["status"]["brokerStates"]
        return next(s for s in states if s["id"] == broker)
    try:
        patch({"drain": [1]})
    except AssertionError as error:  # by the admission webhook
        assert "3 copies of each shard, and 2 brokers would stay" in str(error), error
    else:  # it could not be asked: the operator refuses
        wait_for(lambda: "3 copies of each shard, and 2 brokers would stay" in message(
            CLUSTER, "Degraded"), "the refusal", 30)
    assert state(1)["state"] == "Running"
    patch({"brokers": 4, "drain": [1], "rebalancing": {"paused": True}})
    wait_for(lambda: "moves are paused" in get("streamcluster", CLUSTER)["status"]["rebalance"]
             .get("message", ""), "the drain to wait", 120)
    assert state(1)["shards"] > 0
    patch({"rebalancing": {"paused": False}})
    wait_for(lambda: state(1)["state"] == "Drained", "broker 1 to be empty", 180)
    patch({"drain": None})
    wait_for(lambda: state(1)["shards"] > 0, "shards to come back", 120)
    kubectl("scale", "streamcluster", CLUSTER, "--replicas=3")
    wait_for(lambda: cluster_ready(3), "three brokers again", 300)


def plugin(*args, **kwargs):
    """`kubectl sluice …`, as a user calls it."""
    env_path = f"{HOME}/bin:{HOME}/kubernetes/bin:{os.environ['PATH']}"
    return run("env", f"PATH={env_path}", "kubectl", "sluice", *args, **kwargs)


def test_status_of_the_cluster_is_one_screen():
    wait_for(lambda: plugin("status", check=False).returncode == 0, "a healthy cluster")
    text = plugin("status").stdout
    assert f"default/{CLUSTER}" in text and "flights" in text and "leaders" in text, text
    health = json.loads(plugin("status", "-A", "-o", "json").stdout)
    assert health["healthy"] and len(health["clusters"][0]["brokers"]) == 3, health
    kubectl("delete", "pod", f"{CLUSTER}-2", "--wait=false")
    wait_for(lambda: plugin("status", check=False).returncode == 1, "the missing broker to be seen")
    wait_for(lambda: plugin("status", check=False).returncode == 0, "it to be healthy again")


def test_an_edit_is_shown_before_it_is_made():
    cluster = get("streamcluster", CLUSTER)
    edited = {"apiVersion": cluster["apiVersion"], "kind": cluster["kind"],
              "metadata": {"name": CLUSTER, "namespace": "default"},
              "spec": {**cluster["spec"], "image": "docker.io/library/sluice:other"}}
    diff = json.loads(plugin("cluster", "diff", "-f", "-", "-o", "json", stdin=json.dumps(edited)).stdout)
    assert diff["restarts"] == [0, 1, 2] and diff["restartReasons"][0]["path"] == "image", diff
    edited["spec"] = {**cluster["spec"], "brokers": 2}
    refused = plugin("cluster", "diff", "-f", "-", stdin=json.dumps(edited), check=False)
    assert refused.returncode == 1 and "refused" in refused.stdout, refused
    assert get("streamcluster", CLUSTER)["spec"] == cluster["spec"]


def test_a_shard_is_moved_through_the_plugin():
    sluice("stream", "create", f"placed{RUN}", "--partitions", "1")
    shard = json.loads(sluice("stream", "describe", f"placed{RUN}", "-o", "json").stdout)["shards"][0]
    leader = next(id for id in shard["replicas"] if id != shard["leader"])
    moved = json.loads(plugin("move", f"placed{RUN}", "0", "--leader", str(leader), "-o", "json").stdout)
    assert moved["leader"] == leader, moved
    plugin("move", f"placed{RUN}", "0", "--automatic")


def test_a_refused_drain_says_why():
    refused = plugin("drain", "1", check=False)
    assert refused.returncode == 1 and "2 brokers would stay" in refused.stdout + refused.stderr, refused
    plugin("undrain", "1")
    assert not get("streamcluster", CLUSTER)["spec"].get("drain")


def test_a_rebalance_waits_for_its_approval():
    plugin("rebalance", "mode", "propose")
    try:
        kubectl("scale", "streamcluster", CLUSTER, "--replicas=4")
        wait_for(lambda: cluster_ready(4), "the fourth broker", 180)

        def proposal():
            return json.loads(plugin("rebalance", "-o", "json").stdout)["proposal"]

        wait_for(lambda: (proposal() or {}).get("state") == "Proposed", "a proposal")
        shown = proposal()
        assert all(move["to"] == 3 for move in shown["moves"]), shown
        states = {s["id"]: s for s in get("streamcluster", CLUSTER)["status"]["brokerStates"]}
        assert states[3]["shards"] == 0, states
        stale = plugin("rebalance", "approve", "00000000", check=False)
        assert stale.returncode == 1 and shown["id"] in stale.stderr, stale
        plugin("rebalance", "approve", shown["id"], timeout=600)
        states = {s["id"]: s for s in get("streamcluster", CLUSTER)["status"]["brokerStates"]}
        assert states[3]["shards"] >= len(shown["moves"]), (states, shown)
    finally:
        plugin("rebalance", "mode", "automatic")
        kubectl("scale", "streamcluster", CLUSTER, "--replicas=3")
        wait_for(lambda: cluster_ready(3), "three brokers", 300)


def test_a_report_holds_no_secret():
    kubectl("apply", "-f", "-", stdin=json.dumps({
        "apiVersion": "sluice.dev/v1alpha1", "kind": "StreamUser", "metadata": {"name": "reported"},
        "spec": {"cluster": CLUSTER}}))
    wait_for(lambda: condition("streamuser", "reported", "Ready"), "the user")
    archive = HOME / f"report{RUN}.tar.gz"
    try:
        told = json.loads(plugin("report", "-A", "--out", archive, "-o", "json").stdout)
        assert told["missing"] == 0, run("tar", "-xzOf", archive, "--wildcards", "*/commands.txt").stdout
        names = run("tar", "-tzf", archive).stdout
        for part in ("health.txt", f"logs/{CLUSTER}-0.log", f"metrics/{CLUSTER}-0.txt", "operator/logs/",
                     "operator/metrics/", "shardmaps.sluice.dev.json", "secrets.txt"):
            assert part in names, (part, names)
        content = run("tar", "-xzOf", archive).stdout
        secrets = json.loads(kubectl("get", "secrets", "-A", "-o", "json"))["items"]
        values = [(s["metadata"]["name"], key, value) for s in secrets for key, value in s.get("data", {}).items()
                  if key not in ("ca.crt", "tls.crt", "username", "bootstrap.host", "namespace") and len(value) >= 8]
        assert any(name == "reported" and key == "password" for name, key, _ in values), values
        for name, key, value in values:
            plain = base64.b64decode(value).decode(errors="replace")
            assert value not in content and plain not in content, f"Secret {name}, {key} is in the report"
    finally:
        archive.unlink(missing_ok=True)
        kubectl("delete", "streamuser", "reported", "--wait=false")


def test_admission_refuses_what_the_definitions_cannot_see():
    def applied(kind, name, spec):
        return run(HOME / "kubernetes/bin/kubectl", "create", "-f", "-", check=False, stdin=json.dumps({
            "apiVersion": "sluice.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}))

    # The first question may come before the operator's CA is in the configuration.
    wait_for(lambda: "denied the request" in applied("Stream", f"taken{RUN}", {
        "cluster": CLUSTER, "name": "flights", "mode": "Partitioned", "partitions": 1}).stderr,
        "the webhook to refuse a taken name")
    said = applied("Stream", f"wide{RUN}", {"cluster": CLUSTER, "mode": "Partitioned", "partitions": 1,
                                            "replication": 9}).stderr
    assert "the cluster has 3" in said, said
    scaled = run(HOME / "kubernetes/bin/kubectl", "scale", "streamcluster", CLUSTER, "--replicas=2", check=False)
    assert "brokers" in scaled.stderr and scaled.returncode != 0, scaled


def test_volumes_grow():
    cluster = {"apiVersion": "sluice.dev/v1alpha1", "kind": "StreamCluster",
               "metadata": {"name": "grows", "namespace": "default"},
               "spec": {"brokers": 1, "storage": {"size": "300Mi", "deletionPolicy": "Delete"}}}
    run(HOME / "kubernetes/bin/kubectl", "apply", "-f", "-", stdin=json.dumps(cluster))
    wait_for(lambda: condition("streamcluster", "grows", "Ready"), "the cluster", 120)
    uid = get("pod", "grows-0")["metadata"]["uid"]
    name = get("pvc", "data-grows-0")["spec"]["storageClassName"]
    kubectl("patch", "storageclass", name, "-p", '{"allowVolumeExpansion": true}')

    def resize(size, **kwargs):
        return run(HOME / "kubernetes/bin/kubectl", "patch", "streamcluster", "grows",
                   "--type=merge", "-p", json.dumps({"spec": {"storage": {"size": size}}}), **kwargs)
    resize("400Mi")
    wait_for(lambda: get("pvc", "data-grows-0")["spec"]["resources"]["requests"]["storage"]
             == "400Mi", "the claim to ask for more", 60)
    wait_for(lambda: get("statefulset", "grows")["spec"]["volumeClaimTemplates"][0]["spec"]
             ["resources"]["requests"]["storage"] == "400Mi", "the StatefulSet to be made again", 60)
    wait_for(lambda: condition("streamcluster", "grows", "Ready"), "the cluster to be ready", 60)
    assert get("pod", "grows-0")["metadata"]["uid"] == uid, "the broker was restarted"
    done = resize("300Mi", check=False)
    assert done.returncode != 0 and "cannot shrink" in done.stderr, done
    kubectl("delete", "streamcluster", "grows")
    wait_for(lambda: "grows" not in kubectl("get", "pods,pvc", "-o", "name"), "it to be gone", 120)


def test_a_service_of_somebody_else_is_left_alone():
    day_two.names_of_somebody_else(sys.modules[__name__])


def test_pods_are_placed_and_restarted():
    day_two.placed_and_restarted(sys.modules[__name__])


def test_children_and_clusters_that_are_deleted():
    day_two.children_and_clusters_deleted(sys.modules[__name__])


def test_brokers_serve_while_the_operator_is_uninstalled():
    day_two.uninstalled_and_installed_again(sys.modules[__name__])


def test_kinesis_speaks_https_with_the_operators_certificate():
    cluster = {"apiVersion": "sluice.dev/v1alpha1", "kind": "StreamCluster",
               "metadata": {"name": "https", "namespace": "default"},
               "spec": {"brokers": 1, "kinesis": {"tls": True},
                        "storage": {"size": "300Mi", "deletionPolicy": "Delete"}}}
    run(HOME / "kubernetes/bin/kubectl", "apply", "-f", "-", stdin=json.dumps(cluster))
    try:
        wait_for(lambda: condition("streamcluster", "https", "Ready"), "the cluster", 120)
        authority = base64.b64decode(get("secret", "https-client-tls")["data"]["ca.crt"]).decode()
        context = ssl.create_default_context(cadata=authority)
        address = (get("pod", "https-0")["status"]["podIP"], 4567)
        with socket.create_connection(address, 10) as raw:
            with context.wrap_socket(raw, server_hostname="https.default.svc") as door:
                door.sendall(b"GET / HTTP/1.1\r\nHost: https.default.svc\r\n\r\n")
                assert door.recv(4096).startswith(b"HTTP/1.1 4"), "not a request of the Kinesis API"
    finally:
        kubectl("delete", "streamcluster", "https")
    wait_for(lambda: "https-0" not in kubectl("get", "pods,pvc", "-o", "name"), "it to be gone", 120)


def test_kafkas_tools_manage_users():
    kafka_users.check(sys.modules[__name__])


def listeners(*wanted):
    before = pod_uids()
    patch({"listeners": list(wanted) or None})
    wait_for(lambda: rolled() and not set(before.values()) & set(pod_uids().values()),
             "every broker to be restarted for the listeners", 240)


def told_brokers(servers):
    """What a client that comes by these servers is told: addresses by broker, leaders of partitions."""
    told = json.loads(run("kcat", "-L", "-J", "-m", "30", "-b", servers).stdout)
    return ({b["id"]: b["name"] for b in told["brokers"]},
            {t["topic"]: {p["leader"] for p in t["partitions"]} for t in told["topics"]})


def test_node_ports_reach_every_broker_from_outside():
    """kcat runs on the host, outside of the pods' network, and knows node addresses only."""
    topic = f"outside-{RUN}"
    sluice("stream", "create", topic, "--partitions", "6", "--replication", "3")
    listeners({"name": "nodes", "port": 9093, "type": "NodePort"})

    def servers():
        status = get("streamcluster", CLUSTER)["status"].get("listeners", [])
        return next((x.get("bootstrapServers", "") for x in status if x["name"] == "nodes"), "")
    wait_for(lambda: servers().count(":") == 3, "the node ports", 60)
    wanted = {}
    for index, pod in broker_pods().items():
        addresses = get("node", pod["spec"]["nodeName"])["status"]["addresses"]
        host = next(a["address"] for a in addresses if a["type"] == "InternalIP")
        port = get("service", f"{CLUSTER}-nodes-{index}")["spec"]["ports"][0]["nodePort"]
        wanted[index] = f"{host}:{port}"
    assert sorted(servers().split(",")) == sorted(wanted.values()), (servers(), wanted)
    wait_for(lambda: told_brokers(servers())[0] == wanted, "brokers to tell them", 60)
    wait_for(lambda: told_brokers(servers())[1][topic] == set(wanted), "every broker to lead",
             120)  # balance spreads the leaders of each stream
    for partition in range(6):
        run("kcat", "-P", "-b", servers(), "-t", topic, "-p", str(partition), "-X", "acks=all",
            stdin=f"to {partition}\n")
    got = run("kcat", "-C", "-e", "-q", "-b", servers(), "-t", topic, "-f", "%p %s\n").stdout
    assert sorted(got.splitlines()) == [f"{p} to {p}" for p in range(6)], got
    kafka_reassign.check(sys.modules[__name__], servers(), topic, 6)
    inside, _ = told_brokers(pod_ip(0) + ":9092")
    assert inside[0] == f"{CLUSTER}-0.{CLUSTER}-brokers.default.svc:9092", inside


def test_an_ingress_passes_tls_through_to_each_broker():
    ingress.check(sys.modules[__name__])


def test_a_load_balancers_address_reaches_brokers_without_a_restart():
    """Nothing here makes load balancers: the test writes the Services' status as a cloud does."""
    listeners({"name": "cloud", "port": 9094, "type": "LoadBalancer"})
    wait_for(lambda: f"service/{CLUSTER}-nodes-0" not in kubectl("get", "services", "-o", "name"),
             "the Services of the listener before to go", 60)
    before = pod_uids()
    for address in ("192.0.2.10", "192.0.2.20"):
        kubectl("patch", "service", f"{CLUSTER}-cloud-1", "--subresource=status", "--type=merge",
                "-p", json.dumps({"status": {"loadBalancer": {"ingress": [{"ip": address}]}}}))
        wait_for(lambda: told_brokers(pod_ip(0) + ":9094")[0][1] == f"{address}:9094",
                 f"{address} to be told", 60)
    assert pod_uids() == before
    listeners()


def test_the_operators_ca_rotates_under_load():
    def authority():
        return get("secret", "sluice-ca", "-n", "sluice-system")

    def fault(load):
        system = ["-n", "sluice-system"]
        args = get("deployment", "sluice-operator", *system)["spec"]["template"]["spec"][
            "containers"][0]["args"]
        at = next(i for i, a in enumerate(args) if a.startswith("--ca-phase-seconds="))
        kubectl("patch", "deployment", "sluice-operator", *system, "--type=json", "-p", json.dumps(
            [{"op": "replace", "path": f"/spec/template/spec/containers/0/args/{at}",
              "value": "--ca-phase-seconds=0"}]))
        kubectl("rollout", "status", "deployment/sluice-operator", *system, "--timeout=120s")
        wait_for(cluster_ready, "the cluster to be ready again", 180)
        before, pods = authority()["data"]["ca.crt"], pod_uids()
        kubectl("annotate", "secret", "sluice-ca", *system, "sluice.dev/rotate-ca=now")
        # Kubelets bring new files within a minute or two, for each phase.
        wait_for(lambda: authority()["data"]["ca.crt"] != before and authority()["metadata"][
            "annotations"]["sluice.dev/ca-phase"] == "Stable", "the rotation to end", 600)
        assert pod_uids() == pods, "a broker was restarted"
        assert get("secret", f"{CLUSTER}-tls")["data"]["ca.crt"] == authority()["data"]["ca.crt"]
        # Every broker shakes hands anew with every other: its connections end with it.
        kubectl("delete", "pod", f"{CLUSTER}-0")
        load.wait_more(200)
    with_load("ca", fault)


def test_every_query_of_the_dashboards_returns_data():
    address = json.loads(kubectl("get", "pods", "-l", "app.kubernetes.io/name=prometheus", "-o",
                                 "json"))["items"][0]["status"]["podIP"]

    def answer(expr):
        for name, value in (("$namespace", "default"), ("$cluster", CLUSTER),
                            ("$__rate_interval", "1m")):
            expr = expr.replace(name, value)
        query = urllib.parse.urlencode({"query": expr})
        with urllib.request.urlopen(f"http://{address}:9090/api/v1/query?{query}", timeout=10) as got:
            return json.load(got)["data"]["result"]
    queries = [t["expr"] for path in (ROOT / "charts/sluice/files/dashboards").glob("*.json")
               for p in json.loads(path.read_text())["panels"] for t in p["targets"]]
    assert len(queries) > 20
    for query in queries:
        wait_for(lambda: answer(query), f"data for {query}", 60)


def without_metering(o):
    """What is counted by the minute is written by the minute (operator/README.md): all else stays."""
    o["metadata"] = {k: v for k, v in o["metadata"].items()
                     if k not in ("resourceVersion", "managedFields", "generation")}
    if o["kind"] == "ShardMap":
        o["spec"].pop("generation", None)  # counts its writes
        for shard in o["spec"].get("shards", []):
            shard.pop("meteredOffset", None)
    for part in ("spec", "status"):
        if isinstance(o.get(part), dict):
            o[part].pop("metering", None)
    return o


def test_a_settled_cluster_is_not_written_to():
    def contents():
        kinds = ("streamclusters,streams,shardmaps,statefulsets,services,configmaps,serviceaccounts,"
                 "poddisruptionbudgets,networkpolicies,secrets,pvc")
        return {f"{o['kind']}/{o['metadata']['name']}": without_metering(o)
                for o in json.loads(kubectl("get", kinds, "-o", "json"))["items"]
                if o["metadata"]["name"] != f"{CLUSTER}-metering"}

    def calm():
        before = contents()
        time.sleep(45)  # longer than the operator's steady interval
        after = contents()
        changed = [k for k in after.keys() | before.keys() if after.get(k) != before.get(k)]
        assert not changed, f"written: {changed}"
        return True
    wait_for(calm, "nothing to be written for 45 s", 200)


def test_second_up_changes_nothing():
    done = run(ROOT / "deploy/up", timeout=900)
    assert "unchanged" in done.stdout or "nothing" in done.stdout, done.stdout[-2000:]


def test_up_on_a_cluster_of_ones_own():
    """The same nodes as somebody's cluster: their kubeconfig, images under names that they can pull."""
    image = "registry.example/team/sluice:e2e"
    pulled = {"sluice": image, "tools": "registry.example/team/sluice-tools:e2e",
              "prometheus": "docker.io/prom/prometheus:v2.42.0"}
    nodes = f". {ROOT}/deploy/kubernetes/lib.sh; . {ROOT}/deploy/kubernetes/node.sh; for i in $(nodes_made); do "
    for name, ref in pulled.items():
        nodes += f'node_ctr "$i" images tag --force "$(image_ref {name})" {ref}; '
    run("bash", "-euc", nodes + "done")
    kubectl("delete", "-f", ROOT / "deploy/samples/quickstart.yaml", "--timeout=180s")
    run(HOME / "kubernetes/bin/helm", "uninstall", "sluice", "-n", "sluice-system", "--wait")
    kubectl("delete", "namespace", "sluice-system")
    context = kubectl("config", "current-context").strip()
    theirs = HOME / "of-ones-own"
    env = {**os.environ, "SLUICE_HOME": str(theirs), "KUBECONFIG": str(KUBECONFIG),
           "PATH": f"{HOME / 'kubernetes/bin'}:{os.environ['PATH']}"}

    def deploy(*command):
        done = subprocess.run([ROOT / "deploy" / command[0], *command[1:]], env=env,
                              capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
        return done.stdout

    try:
        deploy("up", "--context", context, "--image", image)
        containers = [c["image"] for pod in json.loads(kubectl("get", "pods", "-A", "-l",
                      "app.kubernetes.io/name=sluice", "-o", "json"))["items"]
                      for c in pod["spec"]["containers"]]
        assert len(containers) >= 4 and set(containers) == {image}, containers
    finally:
        deploy("down", "--all")
    assert not theirs.exists()
    assert "quickstart" not in kubectl("get", "streamclusters,pods,pvc", "-A")
    assert "sluice-system" not in kubectl("get", "namespaces")
    assert len(json.loads(kubectl("get", "nodes", "-o", "json"))["items"]) == 3


def test_down_leaves_nothing():
    run(ROOT / "deploy/down", timeout=300)
    left = run("ip", "netns", "list").stdout
    assert "sluice" not in left, left
    mounts = pathlib.Path("/proc/mounts").read_text()
    assert str(HOME) not in mounts, [m for m in mounts.splitlines() if str(HOME) in m]


# Run by tests/suites/e2e: they have not passed on a machine that others keep busy.
SUITE = {"test_settings_roll_through_zone_by_zone_under_load",
         "test_any_broker_drains_pauses_and_comes_back",
         "test_an_ingress_passes_tls_through_to_each_broker"}


def keep_what_is_known(test):
    """Objects, events and logs as a failed test left them, for whoever reads its message."""
    where = ROOT / f"build/tests/e2e-{test.__name__}"
    where.mkdir(parents=True, exist_ok=True)
    for name, command in {
            "objects.yaml": ("get", "sluice,shardmaps,statefulsets,pods,pvc,services", "-o", "yaml"),
            "events.txt": ("get", "events", "-A", "--sort-by=.metadata.creationTimestamp"),
            "operator.log": ("logs", "-n", "sluice-system", "deployment/sluice-operator", "--all-pods"),
            **{f"broker{i}.log": ("logs", f"{CLUSTER}-{i}") for i in range(3)}}.items():
        (where / name).write_text(run(HOME / "kubernetes/bin/kubectl", *command, check=False).stdout)
    manager = HOME / "kubernetes/sluice/log/kube-controller-manager.log"
    if manager.exists():
        (where / manager.name).write_text(manager.read_text())
        lines = [line for line in manager.read_text().splitlines() if line[:1] in "EW"]
        print("\n".join(["the controller manager's last warnings:"] + lines[-8:]))
    print(f"what was seen is in {where}", flush=True)


def main():
    tests = [f for name, f in globals().items() if name.startswith("test_")]
    wanted = sys.argv[1:]
    passed = failed = 0
    for test in tests:
        if test.__name__ not in wanted if wanted else test.__name__ in SUITE:
            continue
        began = time.monotonic()
        try:
            test()
            passed += 1
            print(f"ok   {test.__name__} ({time.monotonic() - began:.0f}s)", flush=True)
        except Exception:  # reported, and the next test runs
            failed += 1
            print(f"FAIL {test.__name__}\n{traceback.format_exc()}", flush=True)
            if KUBECONFIG.exists():
                keep_what_is_known(test)
            if test is test_up:
                break
    if failed and not wanted:
        run(ROOT / "deploy/down", check=False, timeout=300)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
