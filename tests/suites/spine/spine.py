"""Times and sizes of a cluster that deploy/up has started. Ends with "N passed, N failed"; nothing is
timed out on an aim: a missed one is written down.

usage: run [--runs N]
"""
import argparse
import json
import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "e2e"))
import e2e_test as e2e  # noqa: E402

IDLE_SECONDS = 120  # what a load leaves in a broker's memory is not an idle broker's


def metric(address, name):
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as got:
        found = re.search(rf"^{name}(?:{{[^}}]*}})? (\S+)$", got.read().decode(), re.MULTILINE)
    assert found, f"{address} has no {name}"
    return float(found[1])


def pods(selector, *args):
    return json.loads(e2e.kubectl("get", "pods", "-l", selector, "-o", "json", *args))["items"]


def memory():
    """MiB resident, of an idle cluster."""
    brokers = [metric(f"{p['status']['podIP']}:9644", "sluice_process_memory_bytes") / 2**20
               for p in pods(f"app.kubernetes.io/instance={e2e.CLUSTER}")]
    operators = []
    for pod in pods("app.kubernetes.io/name=sluice-operator", "-n", "sluice-system") or pods(
            "app.kubernetes.io/name=sluice", "-n", "sluice-system"):
        pid = process_of(pod)
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        operators.append(int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1024)
    return brokers, operators


def process_of(pod):
    """The process of the pod's container on this machine, whose nodes are namespaces of it."""
    container = pod["status"]["containerStatuses"][0]["containerID"].rsplit("/", 1)[1]
    for folder in pathlib.Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and container in (folder / "cgroup").read_text():
                return int(folder.name)
        except OSError:
            continue  # it ended meanwhile
    raise AssertionError(f"no process of {pod['metadata']['name']}")


def to_ready(run):
    """Seconds from `kubectl apply` of a cluster of three brokers to Ready, images there."""
    name = f"warm{run}"
    cluster = {"apiVersion": "sluice.dev/v1alpha1", "kind": "StreamCluster",
               "metadata": {"name": name, "namespace": "default"},
               "spec": {"brokers": 3, "replication": {"factor": 3},
                        "storage": {"size": "1Gi", "deletionPolicy": "Delete"}}}
    began = time.monotonic()
    e2e.kubectl("apply", "-f", "-", stdin=json.dumps(cluster))
    e2e.kubectl("wait", "streamcluster", name, "--for=condition=Ready", "--timeout=120s")
    took = time.monotonic() - began
    e2e.kubectl("delete", "streamcluster", name)
    e2e.wait_for(lambda: f"/{name}-" not in e2e.kubectl("get", "pods,pvc", "-o", "name").replace("data-", ""),
                 "it to be gone")
    return took


def to_first_acknowledgement(stream):
    """Seconds from kill -9 of the leader's process to the first record acknowledged after it."""
    shard = json.loads(e2e.sluice("stream", "describe", stream, "-o", "json").stdout)["shards"][0]
    pods_by_index = e2e.broker_pods()
    other = next(i for i in pods_by_index if i != shard["leader"])
    address = pods_by_index[other]["status"]["podIP"] + ":9090"
    pid = process_of(pods_by_index[shard["leader"]])
    os.kill(pid, signal.SIGKILL)
    began = time.monotonic()
    while True:
        done = subprocess.run([e2e.BIN / "sluice", "--broker", address, "produce", stream], input="one\n",
                              capture_output=True, text=True, timeout=60)
        if done.returncode == 0:
            break
        time.sleep(0.01)
    took = time.monotonic() - began
    e2e.wait_for(e2e.cluster_ready, "the cluster to be ready again", 180)
    return took


def spread(numbers, digits):
    low, middle, high = min(numbers), statistics.median(numbers), max(numbers)
    return f"{low:.{digits}f} / {middle:.{digits}f} / {high:.{digits}f}"


def main():
    parser = argparse.ArgumentParser(prog="tests/suites/spine/run")
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    e2e.wait_for(e2e.cluster_ready, "the cluster of deploy/up to be ready")
    time.sleep(IDLE_SECONDS)
    brokers, operators = memory()
    ready = [to_ready(run) for run in range(runs)]
    stream = f"first-{e2e.RUN}"
    e2e.sluice("stream", "create", stream, "--partitions", "1", "--replication", "3")
    acknowledged = [to_first_acknowledgement(stream) for _ in range(runs)]
    rows = [
        ("`kubectl apply` of three brokers to Ready, images there, s", spread(ready, 1), "10"),
        (f"resident memory of a broker, {IDLE_SECONDS} s after its load, MiB", spread(brokers, 0), "40"),
        ("resident memory of an operator, MiB", spread(operators, 0), "40"),
        ("`kill -9` of a leader to the first record acknowledged by another, s", spread(acknowledged, 2), "2"),
    ]
    text = "\n".join([
        "# Times and sizes on the local Kubernetes", "",
        f"`tests/suites/spine/run --runs {runs}`, {time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores for all nodes, "
        "the load and everything else; min / median / max.", "",
        "| | measured | aim |", "|---|---|---|", *(f"| {a} | {b} | {c} |" for a, b, c in rows), ""])
    (HERE / "RESULTS.md").write_text(text)
    print(text)
    print(f"{len(rows)} passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
