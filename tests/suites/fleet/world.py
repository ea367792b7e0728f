"""What the fleet lives on: a real kube-apiserver with etcd, controller-manager and scheduler on loopback, nodes and
pods simulated by KWOK, and the operator as a process beside them. Everything ends with the test."""
import contextlib
import http.client
import json
import os
import pathlib
import queue
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.request

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "charts"))
from checks.apiserver import ADMIN_TOKEN, ApiServer, die_with_parent, free_port, wait_until  # noqa: E402

GROUP = "/apis/sluice.dev/v1alpha1"
HOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
HOOK = "fleet"
NODES = 10
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"


class Server(ApiServer):
    """As the charts' test starts it, with the controllers that StatefulSets need, and KWOK for kubelets."""

    FLAGS = ["--service-cluster-ip-range=10.99.0.0/16", "--max-requests-inflight=800",
             "--max-mutating-requests-inflight=400"]

    def start_controllers(self, kwok):
        fast = ["--kube-api-qps=1000", "--kube-api-burst=2000", "--leader-elect=false", "--secure-port=0"]
        self._spawn("kube-controller-manager", [
            f"--kubeconfig={self.dir}/kubeconfig", *fast, "--concurrent-statefulset-syncs=20",
            f"--service-account-private-key-file={self.dir}/sa.key",
            "--controllers=statefulset,garbagecollector,namespace,disruption,persistentvolume-binder,nodelifecycle,"
            "endpointslice,serviceaccount"])
        self._spawn("kube-scheduler", [f"--kubeconfig={self.dir}/kubeconfig", *fast])
        self.processes.append(subprocess.Popen(
            [kwok, f"--kubeconfig={self.dir}/kubeconfig", "--manage-all-nodes=true", "--node-lease-duration-seconds=200"],
            stdout=open(f"{self.dir}/kwok.log", "wb"), stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            preexec_fn=die_with_parent))

    def connection(self):
        return Connection(self.port, self._tls())


class Connection:
    """One kept-alive connection; not for several threads."""

    def __init__(self, port, tls):
        self.port, self.tls = port, tls
        self.http = None

    def send(self, method, path, body=None, content_type="application/json"):
        for attempt in range(3):
            try:
                if self.http is None:
                    self.http = http.client.HTTPSConnection("127.0.0.1", self.port, context=self.tls, timeout=120)
                self.http.request(method, path, None if body is None else json.dumps(body),
                                  {"Authorization": f"Bearer {ADMIN_TOKEN}", "Content-Type": content_type})
                answer = self.http.getresponse()
                text = answer.read()
                break
            except (http.client.HTTPException, OSError):
                self.http = None
                if attempt == 2:
                    raise
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:300]!r}")
        return json.loads(text)

    def all(self, path, of_item):
        """Every object of a list, page by page, as of_item makes it."""
        token, found = "", []
        while True:
            page = self.send("GET", f"{path}?limit=500" + (f"&continue={token}" if token else ""))
            found += [of_item(item) for item in page["items"]]
            token = page["metadata"].get("continue", "")
            if not token:
                return found


def in_parallel(server, jobs, workers=6):
    """Runs job(connection) for each, on connections of their own; the first failure is raised."""
    todo, failures = queue.SimpleQueue(), []
    for job in jobs:
        todo.put(job)

    def work():
        connection = server.connection()
        with contextlib.suppress(queue.Empty):
            while not failures:
                job = todo.get_nowait()
                try:
                    job(connection)
                except Exception as error:  # noqa: BLE001  told below, on the caller's thread
                    failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


class Watch:
    """Follows one kind and calls seen(object, time) for every event."""

    def __init__(self, server, path, seen):
        self.connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=server._tls())
        self.headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        self.ended = False
        version = server.request("GET", f"{path}?limit=1")["metadata"]["resourceVersion"]
        self.connection.request("GET", f"{path}?watch=true&resourceVersion={version}&timeoutSeconds=3600",
                                headers=self.headers)
        self.answer = self.connection.getresponse()
        assert self.answer.status == 200, self.answer.status
        self.thread = threading.Thread(target=self.follow, args=(seen,), daemon=True)
        self.thread.start()

    def follow(self, seen):
        try:
            while line := self.answer.readline():
                now = time.monotonic()
                seen(json.loads(line)["object"], now)
        except (OSError, ValueError, AttributeError, http.client.HTTPException):
            if not self.ended:
                raise

    def end(self):
        self.ended = True
        with contextlib.suppress(OSError):
            self.connection.sock and self.connection.sock.shutdown(2)
        self.connection.close()


def install(server):
    """Definitions, a class of volumes without a provisioner, nodes in three zones."""
    for file in sorted((ROOT / "crds").glob("*.yaml")):
        crd = yaml.safe_load(file.read_text())
        server.request("PATCH", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/"
                       f"{crd['metadata']['name']}?fieldManager=fleet", crd, APPLY)
    wait_until(lambda: server.request("GET", f"{GROUP}/streams?limit=1") is not None, "the definitions", str)
    server.request("POST", "/apis/storage.k8s.io/v1/storageclasses", {
        "metadata": {"name": "fleet"}, "provisioner": "kubernetes.io/no-provisioner"})
    for number in range(NODES):
        capacity = {"cpu": "100k", "memory": "100Ti", "pods": "2000", "ephemeral-storage": "100Ti"}
        server.request("POST", "/api/v1/nodes", {
            "metadata": {"name": f"node-{number}", "labels": {
                "kubernetes.io/hostname": f"node-{number}", "topology.kubernetes.io/zone": f"zone-{number % 3}"}},
            "status": {"capacity": capacity, "allocatable": capacity}})
    server.request("POST", "/api/v1/namespaces", {"metadata": {"name": "sluice-system"}})


def install_webhook(server, port):
    """Asks about nothing yet; the operator writes its CA into it."""
    server.request("POST", HOOKS, {"metadata": {"name": HOOK}, "webhooks": [{
        "name": "fleet.sluice.dev", "admissionReviewVersions": ["v1"], "sideEffects": "None", "timeoutSeconds": 10,
        "failurePolicy": "Fail", "clientConfig": {"url": f"https://localhost:{port}/validate"},
        "rules": [{"apiGroups": ["sluice.dev"], "apiVersions": ["v1alpha1"], "operations": ["CREATE"],
                   "resources": ["nothing"]}]}]})


class Operator:
    """The binary with the chart's settings, outside the cluster."""

    def __init__(self, server, log, hook, coordinator, *flags, wrap=()):
        binary = pathlib.Path(server.dir, "sluice-operator")  # what is built meanwhile is not measured
        if not binary.exists():
            shutil.copy(pathlib.Path(os.environ.get("SLUICE_BIN", ROOT / "build/release/bin"), "sluice-operator"), binary)
        self.http = free_port()
        self.began = time.monotonic()
        self.log = open(log, "ab")
        self.process = subprocess.Popen(
            [*wrap, binary, "run", f"--kubeconfig={server.dir}/kubeconfig",
             "--operator-namespace=sluice-system", "--pod-name=fleet", "--broker-image=none",
             f"--coordinator-address=localhost:{coordinator}", f"--coordinator-port={coordinator}",
             f"--http-port={self.http}", "--log-level=warn", f"--webhook-configuration={HOOK}",
             "--webhook-host=localhost", f"--webhook-port={hook}", *flags],
            stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent,
            env=dict(os.environ, MALLOC_ARENA_MAX="2", GLIBC_TUNABLES="glibc.malloc.tcache_count=0"))

    def metrics(self):
        """[(name, labels as text, value)]; nothing while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/metrics", timeout=60) as answer:
                text = answer.read().decode()
        except (OSError, http.client.HTTPException):
            if self.process.poll() is not None:
                raise RuntimeError("the operator has ended; see its log") from None
            return []
        return [(m[1], m[2] or "", float(m[3]))
                for m in re.finditer(r"^([a-z_]+)(\{[^}]*\})? ([0-9.e+-]+)", text, re.MULTILINE)]

    def memory(self):
        """MiB resident now, and at its highest."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return [int(re.search(rf"{name}:\s+(\d+) kB", status)[1]) / 1024 for name in ("VmRSS", "VmHWM")]

    def cpu(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=120)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
