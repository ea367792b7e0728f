"""What people do to a cluster by kubectl and helm: names that are taken, pods on nodes of their own, children and clusters
deleted, the operator uninstalled and installed again."""
import json


def _small(name, **spec):
    return {"apiVersion": "sluice.dev/v1alpha1", "kind": "StreamCluster",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"brokers": 1, "storage": {"size": "300Mi", "deletionPolicy": "Delete"}, **spec}}


def _apply(e, thing):
    e.kubectl("apply", "-f", "-", stdin=json.dumps(thing))


def _delete(e, name):
    e.kubectl("delete", "streamcluster", name, "--ignore-not-found", "--timeout=60s")
    e.wait_for(lambda: f"{name}-0" not in e.kubectl("get", "pods,pvc", "-o", "name"), f"{name} to go")


def names_of_somebody_else(e):
    e.kubectl("create", "service", "clusterip", "taken", "--tcp=80:80")
    e.kubectl("create", "configmap", "taken-config", "--from-literal=a=b")
    try:
        service, config = e.get("service", "taken"), e.get("configmap", "taken-config")
        _apply(e, _small("taken"))
        e.wait_for(lambda: "belongs to something else, and is left alone" in e.message("taken", "Degraded"),
                   "the condition to name it", 60)
        assert e.get("service", "taken") == service and e.get("configmap", "taken-config") == config
        _delete(e, "taken")
        assert e.get("service", "taken") == service and e.get("configmap", "taken-config") == config
        _apply(e, _small("taken"))
        e.kubectl("delete", "service/taken", "configmap/taken-config")
        e.wait_for(lambda: e.condition("streamcluster", "taken", "Ready"), "the cluster to come up", 120)
    finally:
        e.kubectl("delete", "service/taken", "configmap/taken-config", "--ignore-not-found", check=False)
        _delete(e, "taken")


def placed_and_restarted(e):
    node = e.kubectl("get", "nodes", "-o", "name").split()[0].split("/")[1]
    e.kubectl("label", "node", node, "disk=fast")
    e.kubectl("taint", "node", node, "streams=only:NoSchedule")
    try:
        _apply(e, _small("placed", pod={
            "nodeSelector": {"disk": "fast"}, "labels": {"team": "x"},
            "tolerations": [{"key": "streams", "operator": "Equal", "value": "only", "effect": "NoSchedule"}],
            "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 1, "podAffinityTerm": {
                    "topologyKey": "kubernetes.io/hostname",
                    "labelSelector": {"matchLabels": {"app.kubernetes.io/instance": "placed"}}}}]}}}))
        e.wait_for(lambda: e.condition("streamcluster", "placed", "Ready"), "the cluster", 120)
        pod, set_ = e.get("pod", "placed-0"), e.get("statefulset", "placed")
        assert pod["spec"]["nodeName"] == node and pod["metadata"]["labels"]["team"] == "x", pod
        e.plugin("restart", "--cluster", "placed", timeout=180)
        assert e.get("pod", "placed-0")["metadata"]["uid"] != pod["metadata"]["uid"]
        # What the server adds to a tolerance or an affinity is not taken for an edit.
        settled = e.get("statefulset", "placed")["metadata"]["generation"]
        e.kubectl("annotate", "streamcluster", "placed", "note=look")
        e.wait_for(lambda: e.condition("streamcluster", "placed", "Ready"), "it to be ready", 60)
        assert e.get("statefulset", "placed")["metadata"]["generation"] == settled > set_["metadata"]["generation"]
    finally:
        e.kubectl("label", "node", node, "disk-")
        e.kubectl("taint", "node", node, "streams-")
        _delete(e, "placed")


def children_and_clusters_deleted(e):
    _apply(e, _small("short"))
    _apply(e, {"apiVersion": "sluice.dev/v1alpha1", "kind": "Stream",
               "metadata": {"name": "of-short", "namespace": "default"},
               "spec": {"cluster": "short", "mode": "Partitioned", "partitions": 1}})
    try:
        e.wait_for(lambda: e.condition("stream", "of-short", "Ready"), "the stream", 120)
        e.kubectl("delete", "secret", "short-tls")
        e.kubectl("delete", "pod", "short-0", "--wait=false")
        e.wait_for(lambda: "secret/short-tls" in e.kubectl("get", "secrets", "-o", "name"), "the Secret", 20)
        e.wait_for(lambda: e.condition("streamcluster", "short", "Ready"), "the broker to come back", 150)
        pod = e.get("pod", "short-0")["metadata"]["uid"]
        e.kubectl("delete", "streamcluster", "short", "--cascade=orphan")

        def told():
            return next(c["reason"] for c in e.get("stream", "of-short")["status"]["conditions"]
                        if c["type"] == "Ready")
        e.wait_for(lambda: told() == "NoCluster", "the stream to say that its cluster is gone", 30)
        assert not e.get("pvc", "data-short-0")["metadata"].get("deletionTimestamp"), "a volume of a broker that runs"
        _apply(e, _small("short"))
        e.wait_for(lambda: e.condition("stream", "of-short", "Ready"), "the stream to be served again", 60)
        e.wait_for(lambda: e.condition("streamcluster", "short", "Ready"), "the cluster", 60)
        assert e.get("pod", "short-0")["metadata"]["uid"] == pod, "the broker was restarted"
    finally:
        e.kubectl("delete", "stream", "of-short", "--ignore-not-found", "--wait=false")
        _delete(e, "short")


def uninstalled_and_installed_again(e):
    helm, system = e.HOME / "kubernetes/bin/helm", ["-n", "sluice-system"]
    values = e.run(helm, "get", "values", "sluice", *system, "-o", "json").stdout
    release = json.loads(e.run(helm, "history", "sluice", *system, "--max", "1", "-o", "json").stdout)[-1]

    def install():
        e.run(helm, "upgrade", "--install", "sluice", e.ROOT / "charts/sluice", *system, "--wait", "--timeout", "120s",
              "--description", release["description"], "-f", "-", stdin=values)

    def fault(load):
        e.kubectl("create", "namespace", "left")
        stays = _small("stays")
        stays["metadata"]["namespace"] = "left"
        _apply(e, stays)
        e.wait_for(lambda: e.get("pod", "stays-0", "-n", "left"), "its pod", 60)
        pods, authority = e.pod_uids(), e.get("secret", "sluice-ca", *system)["data"]
        try:
            e.run(helm, "uninstall", "sluice", *system, "--wait")
            e.kubectl("delete", "namespace", "left", "--wait=false")
            load.wait_more(200)
            # Its Lease runs out: the right to give it back went with the release.
            e.wait_for(lambda: "NoOperator" in e.plugin("status", check=False).stdout, "the status to say so", 150)
            e.wait_for(lambda: "finalizers remaining: sluice.dev/records" in json.dumps(e.get("namespace", "left")),
                       "the namespace to say what it waits for", 90)
        finally:
            install()
        e.wait_for(e.cluster_ready, "the cluster to be taken up", 60)
        assert e.pod_uids() == pods, "a broker was restarted"
        assert e.get("secret", "sluice-ca", *system)["data"] == authority
        e.wait_for(lambda: "namespace/left" not in e.kubectl("get", "namespaces", "-o", "name"),
                   "the namespace to go", 90)
    e.with_load("uninstall", fault)
