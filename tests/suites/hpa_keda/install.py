"""prometheus-adapter and KEDA from their own manifests, as pods of images that `programs` made, and the samples of
deploy/samples that scale the quickstart cluster by them."""
import json
import pathlib
import sys

import yaml

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "e2e"))
import e2e_test as e2e  # noqa: E402

SAMPLES = e2e.ROOT / "deploy/samples"
PROMETHEUS = "http://prometheus.default.svc:9090/"
API = "v1beta1.external.metrics.k8s.io"
NAME = "quickstart-brokers"
# What README.md says that KEDA's operator needs of Sluice, where its rights on everything are taken away.
KEDA_RIGHTS = [{"apiGroups": ["sluice.dev"], "resources": ["streamclusters"], "verbs": ["get"]},
               {"apiGroups": ["sluice.dev"], "resources": ["streamclusters/scale"],
                "verbs": ["get", "list", "watch", "update", "patch"]}]


def image(name):
    return (e2e.HOME / "images" / f"{name}.ref").read_text().splitlines()[0]


def documents(*paths):
    return [document for path in paths for document in yaml.safe_load_all(path.read_text()) if document]


def apply(objects):
    e2e.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-",
                stdin="".join(json.dumps(one) + "\n---\n" for one in objects))


def delete(objects):
    e2e.kubectl("delete", "--ignore-not-found", "--wait=false", "-f", "-",
                stdin="".join(json.dumps(one) + "\n---\n" for one in objects))


def answers():
    for entry in e2e.get("apiservice", API).get("status", {}).get("conditions", []):
        if entry["type"] == "Available":
            return entry["status"] == "True"
    return False


class Adapter:
    """prometheus-adapter, and deploy/samples/hpa.yaml."""

    name = "prometheus-adapter and a HorizontalPodAutoscaler"
    hpa = NAME

    def __init__(self, sources):
        manifests = sources / "prometheus-adapter/deploy/manifests"
        # api-service.yaml is for metrics.k8s.io, which its own rules would serve.
        self.objects = documents(*(path for path in sorted(manifests.glob("*.yaml"))
                                   if path.name not in ("api-service.yaml", "config-map.yaml")))
        [deployment] = [one for one in self.objects if one["kind"] == "Deployment"]
        [container] = deployment["spec"]["template"]["spec"]["containers"]
        container["image"] = image("prometheus-adapter")
        container["args"] = [f"--prometheus-url={PROMETHEUS}" if arg.startswith("--prometheus-url=") else arg
                             for arg in container["args"]]
        self.objects += documents(SAMPLES / "prometheus-adapter.yaml")

    def install(self):
        apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "monitoring"}}])
        apply(self.objects)
        e2e.kubectl("-n", "monitoring", "rollout", "status", "deployment/prometheus-adapter", "--timeout=180s")
        e2e.wait_for(answers, "external metrics by prometheus-adapter", 60)

    def remove(self):
        delete(self.objects)
        e2e.wait_for(lambda: API not in e2e.kubectl("get", "apiservices", "-o", "name"), "its APIService to go")

    def scaler(self, target, most, behavior):
        """The sample, but for its numbers."""
        [hpa] = documents(SAMPLES / "hpa.yaml")
        hpa["spec"]["maxReplicas"], hpa["spec"]["behavior"] = most, behavior
        hpa["spec"]["metrics"][0]["external"]["target"]["averageValue"] = f"{target * 1000:.0f}m"
        return hpa


class Keda:
    """KEDA without its admission webhook, and deploy/samples/keda.yaml."""

    name = "KEDA"
    hpa = f"keda-hpa-{NAME}"

    def __init__(self, sources):
        everything = yaml.safe_load_all(e2e.kubectl("kustomize", sources / "keda/config/default"))
        # The webhook judges ScaledObjects as they are applied; nothing here waits for it.
        objects = [one for one in everything if "admission" not in one["metadata"]["name"]]
        self.definitions = [one for one in objects if one["kind"] == "CustomResourceDefinition"]
        self.objects = [one for one in objects if one["kind"] != "CustomResourceDefinition"]
        for one in self.objects:
            if one["kind"] == "Deployment":
                [container] = one["spec"]["template"]["spec"]["containers"]
                container["image"] = image(one["metadata"]["name"])
                container["imagePullPolicy"] = "IfNotPresent"
            if one["kind"] == "ClusterRole" and one["metadata"]["name"] == "keda-operator":
                one["rules"] = [rule for rule in one["rules"] if rule["apiGroups"] != ["*"]] + KEDA_RIGHTS

    def install(self):
        apply(self.definitions)
        apply([one for one in self.objects if one["kind"] == "Namespace"])
        apply(self.objects)
        for name in ("keda-operator", "keda-metrics-apiserver"):
            e2e.kubectl("-n", "keda", "rollout", "status", f"deployment/{name}", "--timeout=240s")
        e2e.wait_for(answers, "external metrics by KEDA", 120)

    def remove(self):
        delete(self.objects)
        delete(self.definitions)

    def scaler(self, target, most, behavior):
        """The sample, but for its numbers."""
        [scaled] = documents(SAMPLES / "keda.yaml")
        scaled["spec"]["maxReplicaCount"] = most
        scaled["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] = behavior
        scaled["spec"]["triggers"][0]["metadata"]["threshold"] = str(target)
        return scaled
