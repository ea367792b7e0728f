"""The operator watches every namespace, some, or one: with the chart's own arguments, as the chart's ServiceAccount,
whose rights are a ClusterRole or a Role in each namespace. It works where it is to, and nowhere else.

The binary runs beside the real API server; no pod is started there.
"""

import os
import subprocess
import urllib.request

import yaml

from .apiserver import ApiError, die_with_parent, free_port, wait_until
from .crds import GROUP
from .lifecycle import NAMESPACE, helm

NAMESPACES = ["watch-a", "watch-b", "watch-c"]
# What is watched, by the chart's values (helm keeps those of before where none are given). The default comes last, and stays.
VARIANTS = [("one", {"watchNamespaces": ["watch-a"]}, {"watch-a"}),
            ("some", {"watchNamespaces": ["watch-a", "watch-b"]}, {"watch-a", "watch-b"}),
            ("all", {"watchNamespaces": []}, set(NAMESPACES))]


class Operator:
    """As the chart's Deployment starts it, but for addresses and the webhook."""

    def __init__(self, server, binary, name):
        self.http, coordinator = free_port(), free_port()
        self.log_path = f"{server.dir}/operator-{name}.log"
        deployment = server.request("GET", f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/sluice-operator")
        ours = ("--webhook-", "--coordinator-", "--http-port", "--pod-name", "--operator-namespace", "--log-")
        given = [arg for arg in deployment["spec"]["template"]["spec"]["containers"][0]["args"]
                 if not arg.startswith(ours)]
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [binary, *given, f"--kubeconfig={self.kubeconfig(server, name)}", f"--operator-namespace={NAMESPACE}",
                 f"--pod-name=watch-{name}", f"--coordinator-address=localhost:{coordinator}",
                 f"--coordinator-port={coordinator}", f"--http-port={self.http}"],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent)

    @staticmethod
    def kubeconfig(server, name):
        token = server.request("POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/sluice-operator/token", {
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}})["status"]["token"]
        with open(f"{server.dir}/kubeconfig", encoding="utf-8") as f:
            config = yaml.safe_load(f)
        config["users"] = [{"name": "admin", "user": {"token": token}}]
        path = f"{server.dir}/kubeconfig-{name}"
        with open(path, "w", encoding="utf-8") as f:
            yaml.safe_dump(config, f)
        return path

    def refused(self):
        """Requests that its rights did not cover."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/metrics", timeout=10) as answer:
            return [line for line in answer.read().decode().splitlines()
                    if line.startswith("sluice_operator_api_requests_total") and 'code="403"' in line]

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=60)

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()


def check(server, chart, binary, report):
    """Needs the chart installed in sluice-system; leaves it so, with its defaults."""
    if not os.access(binary, os.X_OK):
        report.skip("which namespaces are watched", f"{binary} is not built")
        return
    for ns in NAMESPACES:
        server.request("POST", "/api/v1/namespaces", {"metadata": {"name": ns}})
    for name, values, watched in VARIANTS:
        done = helm(server, chart, "upgrade", "sluice", chart.path, values=values)
        if not report.check(f"helm upgrade to watch {name}", done.returncode == 0, done.stderr):
            continue
        operator = Operator(server, binary, name)
        try:
            check_variant(server, operator, name, watched, report)
        finally:
            operator.stop()


def check_variant(server, operator, name, watched, report):
    cluster = f"watch-{name}"
    for ns in NAMESPACES:
        for kind, plural, spec in (("StreamCluster", "streamclusters", {"brokers": 1}), ("Stream", "streams", {
                "cluster": cluster, "mode": "Partitioned", "partitions": 1})):
            server.request("POST", f"{GROUP}/namespaces/{ns}/{plural}", {
                "apiVersion": "sluice.dev/v1alpha1", "kind": kind, "metadata": {"name": cluster}, "spec": spec})

    def served():
        return {ns for ns in NAMESPACES if is_served(server, ns, cluster)}

    def touched():
        return {ns for ns in NAMESPACES if is_touched(server, ns, cluster)}
    wait_until(lambda: served() >= watched, f"the StatefulSets of {name} and their status", operator.log)
    report.check(f"watching {name}: nothing elsewhere is touched", touched() == watched, touched())
    refused = operator.refused()
    report.check(f"watching {name}: the chart's rights cover every request", not refused, "\n".join(refused))


def found(server, path):
    try:
        return server.request("GET", path)
    except ApiError as error:
        if error.code != 404:
            raise
        return {}


def resources(server, ns, cluster):
    return [found(server, f"{GROUP}/namespaces/{ns}/{plural}/{cluster}") for plural in ("streamclusters", "streams")]


def is_served(server, ns, cluster):
    return found(server, f"/apis/apps/v1/namespaces/{ns}/statefulsets/{cluster}") and all(
        "observedGeneration" in one.get("status", {}) for one in resources(server, ns, cluster))


def is_touched(server, ns, cluster):
    return found(server, f"/apis/apps/v1/namespaces/{ns}/statefulsets/{cluster}") or any(
        one.get("status") or one["metadata"].get("finalizers") for one in resources(server, ns, cluster))
