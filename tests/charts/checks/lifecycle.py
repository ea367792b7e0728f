"""helm install, upgrade, uninstall and install again, on the real API server.

No controller runs there, so pods do not start; deploy/ and the end-to-end tests cover that. What is
shown here is that every object is taken as it is, that an upgrade also upgrades the definitions, and
that an uninstall keeps them and the data that hangs on them.
"""

import json

from . import rbac
from .chart import run
from .crds import DEFINITIONS, GROUP
from .apiserver import ApiError

NAMESPACE = "sluice-system"


def helm(server, chart, *args, values=None):
    command = [chart.helm, *args, "--namespace", NAMESPACE]
    if values is not None:
        command += ["--values", "-"]
    return run(command, env=server.environment(), text=json.dumps(values) if values is not None else None)


def exists(server, path):
    try:
        return server.request("GET", path)
    except ApiError as error:
        if error.code != 404:
            raise
        return None


def check(server, chart, report):
    """Needs a server without the definitions."""
    done = helm(server, chart, "install", "sluice", chart.path, "--create-namespace", values={})
    if not report.check("helm install", done.returncode == 0, done.stderr):
        return
    report.check("its notes say how to go on", "kubectl get sluice" in done.stdout, done.stdout)
    server.request("POST", "/api/v1/namespaces", {"metadata": {"name": "apps-ns"}})
    rbac.check_authorizer(server, report)
    check_pod_security(server, report)
    check_upgrade(server, chart, report)
    check_uninstall(server, chart, report)


def check_pod_security(server, report):
    """The operator's pod, made in a namespace that enforces the restricted standard."""
    server.request("POST", "/api/v1/namespaces", {"metadata": {
        "name": "restricted", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}})
    deployment = server.request("GET", f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/sluice-operator")
    template = deployment["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "operator"}, "spec": template["spec"]}
    weak = json.loads(json.dumps(pod))
    del weak["spec"]["containers"][0]["securityContext"]["capabilities"]
    refusals = [pod_refusal(server, candidate) for candidate in (pod, weak)]
    report.check("the operator's pod meets the restricted Pod Security Standard",
                 refusals[0] is None and refusals[1] and "violates PodSecurity" in refusals[1], refusals)


def pod_refusal(server, pod):
    try:
        server.request("POST", "/api/v1/namespaces/restricted/pods?dryRun=All", pod)
        return None
    except ApiError as error:
        return error.message


def check_monitors(server, chart, report):
    """What the Prometheus operator is given, taken by its own definitions."""
    done = helm(server, chart, "upgrade", "sluice", chart.path, values={
        "serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}})
    monitoring = f"/apis/monitoring.coreos.com/v1/namespaces/{NAMESPACE}"
    missing = [plural for plural in ("servicemonitors", "podmonitors", "prometheusrules")
               if not server.request("GET", f"{monitoring}/{plural}")["items"]]
    report.check("helm upgrade with monitors and alerts", done.returncode == 0 and not missing,
                 f"{done.stderr}\n{missing}")


def check_upgrade(server, chart, report):
    """A definition as an older chart would have left it comes up to date."""
    name = f"{DEFINITIONS}/streams.sluice.dev"
    server.request("PATCH", name, [{"op": "replace", "path": "/spec/names/shortNames", "value": ["old"]}],
                   "application/json-patch+json")
    done = helm(server, chart, "upgrade", "sluice", chart.path, values={"replicas": 3, "logLevel": "debug"})
    deployment = server.request("GET", f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/sluice-operator")
    report.check("helm upgrade changes the Deployment",
                 done.returncode == 0 and deployment["spec"]["replicas"] == 3 and
                 "--log-level=debug" in deployment["spec"]["template"]["spec"]["containers"][0]["args"],
                 done.stderr)
    short = server.request("GET", name)["spec"]["names"]["shortNames"]
    report.check("helm upgrade brings the definitions up to date", short == ["str"], short)


def check_uninstall(server, chart, report):
    streams = f"{GROUP}/namespaces/apps-ns/streams"
    server.request("POST", streams, {"apiVersion": "sluice.dev/v1alpha1", "kind": "Stream",
                                     "metadata": {"name": "kept"}, "spec": {"cluster": "demo", "mode": "Elastic"}})
    done = helm(server, chart, "uninstall", "sluice")
    left = [path for path in (f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/sluice-operator",
                              f"/api/v1/namespaces/{NAMESPACE}/services/sluice-operator",
                              f"/apis/rbac.authorization.k8s.io/v1/clusterroles/sluice-operator-{NAMESPACE}",
                              "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/"
                              f"sluice-operator-{NAMESPACE}")
            if exists(server, path)]
    report.check("helm uninstall removes what it installed", done.returncode == 0 and not left,
                 f"{done.stderr}\n{left}")
    report.check("helm uninstall keeps the definitions and the streams", exists(server, f"{streams}/kept"))
    again = helm(server, chart, "install", "sluice", chart.path, values={})
    report.check("helm install takes them up again", again.returncode == 0 and exists(server, f"{streams}/kept"),
                 again.stderr)
    second = run([chart.helm, "install", "second", chart.path, "--namespace", "second", "--create-namespace",
                  "--set", "crds.install=false", "--set", "watchNamespaces={apps-ns}"], env=server.environment())
    report.check("a second operator fits beside it", second.returncode == 0, second.stderr)
