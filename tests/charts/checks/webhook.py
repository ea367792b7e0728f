"""The admission webhook: the operator's binary beside the real API server, asked by it over TLS.

No pod runs there, so the configuration that the chart installs is pointed at the process by URL; its
CA is what the operator has written into it.
"""

import json
import os
import subprocess

from .apiserver import ApiError, die_with_parent, free_port, wait_until
from .chart import run
from .crds import GROUP

NAMESPACE = "admission"
CONFIGURATION = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/sluice-operator-sluice-system"
OBJECTS = f"{GROUP}/namespaces/{NAMESPACE}"


class Operator:
    def __init__(self, server, binary):
        self.port = free_port()
        coordinator = free_port()
        self.log_path = f"{server.dir}/operator.log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [binary, "run", f"--kubeconfig={server.dir}/kubeconfig", "--operator-namespace=sluice-system",
                 "--pod-name=admission-test", "--broker-image=none", f"--watch-namespaces={NAMESPACE}",
                 f"--coordinator-address=localhost:{coordinator}", f"--coordinator-port={coordinator}",
                 f"--http-port={free_port()}", "--webhook-configuration=sluice-operator-sluice-system",
                 "--webhook-host=sluice-operator-webhook.sluice-system.svc", f"--webhook-port={self.port}"],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent)

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=60)

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()


def check(server, binary, report):
    """Needs the chart installed, with its defaults, in sluice-system."""
    if not os.access(binary, os.X_OK):
        report.skip("the admission webhook", f"{binary} is not built")
        return
    server.request("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    operator = Operator(server, binary)
    try:
        point_to(server, operator.port)
        wait_until(lambda: ca_bundle(server), "the operator's CA in caBundle", operator.log)
        report.check("the operator writes its CA into the configuration", True)
        check_answers(server, report)
    finally:
        operator.stop()
    check_without_operator(server, report)


def point_to(server, port):
    hook = server.request("GET", CONFIGURATION)["webhooks"][0]
    hook["clientConfig"] = {"url": f"https://localhost:{port}/validate"}
    server.request("PATCH", CONFIGURATION, {"webhooks": [hook]}, "application/merge-patch+json")


def ca_bundle(server):
    return server.request("GET", CONFIGURATION)["webhooks"][0]["clientConfig"].get("caBundle")


def create(server, plural, kind, name, spec):
    return server.request("POST", f"{OBJECTS}/{plural}", {
        "apiVersion": "sluice.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})


def refusal(call, *args):
    """The API server's message; empty where it took the object."""
    try:
        call(*args)
        return ""
    except ApiError as error:
        return error.message


def stream(name=None, **fields):
    spec = {"cluster": "c", "mode": "Partitioned", "partitions": 1, **fields}
    return {**spec, "name": name} if name else spec


def check_answers(server, report):
    def expect(what, said, wanted):
        report.check(f"admission: {what}", wanted in said and "denied the request" in said, said or "it was taken")

    manifest = {"apiVersion": "sluice.dev/v1alpha1", "kind": "Stream",
                "metadata": {"name": "early", "namespace": NAMESPACE}, "spec": stream()}
    done = run(["kubectl", "apply", "-f", "-"], env=server.environment(), text=json.dumps(manifest))
    report.check("admission: a Stream without its cluster is taken, with a warning",
                 done.returncode == 0 and "there is no StreamCluster 'c'" in done.stderr, done.stdout + done.stderr)

    create(server, "streamclusters", "StreamCluster", "c", {"brokers": 3})
    create(server, "streams", "Stream", "orders", stream())
    expect("a name that another Stream has", refusal(create, server, "streams", "Stream", "mine", stream("orders")),
           "'orders' is the name of Stream 'orders'")
    expect("more copies than brokers",
           refusal(create, server, "streams", "Stream", "wide", stream(replication=5)), "the cluster has 3")

    def patch(path, body):
        return server.request("PATCH", f"{OBJECTS}/{path}", body, "application/merge-patch+json")

    expect("a drain that would take copies", refusal(patch, "streamclusters/c", {"spec": {"drain": [1]}}),
           "keeps 3 copies of each shard, and 2 brokers would stay")
    expect("a scale-in that would take copies",
           refusal(patch, "streamclusters/c/scale", {"spec": {"replicas": 2}}), "2 brokers")
    report.check("admission: a scale-out is taken",
                 not refusal(patch, "streamclusters/c/scale", {"spec": {"replicas": 4}}))
    report.check("admission: what the operator writes itself is taken",
                 not refusal(patch, "streams/orders", {"metadata": {"labels": {"team": "a"}}}))

    server.request("POST", f"/api/v1/namespaces/{NAMESPACE}/secrets",
                   {"metadata": {"name": "theirs"}, "stringData": {"a": "b"}})
    user = {"cluster": "c", "secretName": "theirs"}
    expect("a Secret of somebody else's", refusal(create, server, "streamusers", "StreamUser", "ann", user),
           "Secret 'theirs' belongs to something else")
    report.check("admission: a StreamUser with a Secret of its own is taken",
                 not refusal(create, server, "streamusers", "StreamUser", "ann", {"cluster": "c"}))


def check_without_operator(server, report):
    taken = refusal(create, server, "streams", "Stream", "mine", stream("orders"))
    report.check("admission: failurePolicy Ignore takes everything while no operator answers", not taken, taken)
    hook = server.request("GET", CONFIGURATION)["webhooks"][0]
    hook["failurePolicy"] = "Fail"
    server.request("PATCH", CONFIGURATION, {"webhooks": [hook]}, "application/merge-patch+json")
    said = []

    def refused():
        said[:] = [refusal(create, server, "streams", "Stream", "another", stream())]
        if not said[0]:
            server.request("DELETE", f"{OBJECTS}/streams/another")
        return "failed calling webhook" in said[0]

    # The API server's admission follows the configuration a moment later.
    wait_until(refused, "failurePolicy Fail", lambda: "".join(said))
    report.check("admission: failurePolicy Fail takes nothing then", True)
    server.request("DELETE", CONFIGURATION)
