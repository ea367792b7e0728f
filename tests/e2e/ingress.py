"""A listener of type Ingress, with what an ingress controller does by HAProxy: TLS is passed through to the broker that
the name in the handshake stands for. The client knows those names only, and checks the certificate against them."""
import base64
import json
import socket
import subprocess

CLUSTER = "routed"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def configuration(e2e, port):
    """HAProxy's, of the Ingresses and the endpoints of the Services that they name."""
    routes, backends = [], []
    ingresses = json.loads(e2e.kubectl("get", "ingress", "-l", f"app.kubernetes.io/instance={CLUSTER}", "-o", "json"))
    for ingress in ingresses["items"]:
        assert ingress["metadata"]["annotations"]["haproxy.org/ssl-passthrough"] == "true", ingress
        rule = ingress["spec"]["rules"][0]
        assert ingress["spec"]["tls"][0]["hosts"] == [rule["host"]], ingress
        service = rule["http"]["paths"][0]["backend"]["service"]
        subset = e2e.get("endpoints", service["name"])["subsets"][0]
        servers = [f"  server s{i} {address['ip']}:{service['port']['number']}"
                   for i, address in enumerate(subset["addresses"])]
        routes.append(f"  use_backend {service['name']} if {{ req.ssl_sni -i {rule['host']} }}")
        backends.append("\n".join([f"backend {service['name']}", *servers]))
    assert len(routes) == 3, ingresses  # two brokers, and all of them
    return "\n".join(["defaults", "  mode tcp", "  timeout connect 5s", "  timeout client 1m", "  timeout server 1m",
                      "frontend names", f"  bind 127.0.0.1:{port}", "  tcp-request inspect-delay 5s",
                      "  tcp-request content accept if { req.ssl_hello_type 1 }", *routes, *backends, ""])


def check(e2e):
    """`e2e`: the module of the tests."""
    port = free_port()
    e2e.kubectl("apply", "-f", "-", stdin=json.dumps({
        "apiVersion": "sluice.dev/v1alpha1", "kind": "StreamCluster",
        "metadata": {"name": CLUSTER, "namespace": "default"},
        "spec": {"brokers": 2, "storage": {"size": "300Mi", "deletionPolicy": "Delete"}, "listeners": [{
            "name": "outside", "port": 9098, "tls": True, "type": "Ingress", "advertisedPort": port,
            "host": "broker-{id}.kafka.test", "bootstrapHost": "kafka.test"}]}}))
    work = e2e.HOME / f"ingress-{e2e.RUN}"
    work.mkdir()
    proxy = None
    try:
        e2e.wait_for(lambda: e2e.condition("streamcluster", CLUSTER, "Ready"), "the cluster", 180)
        servers = e2e.get("streamcluster", CLUSTER)["status"]["listeners"][0]["bootstrapServers"]
        assert servers == f"kafka.test:{port}", servers
        (work / "ca.pem").write_bytes(base64.b64decode(e2e.get("secret", f"{CLUSTER}-client-tls")["data"]["ca.crt"]))
        (work / "hosts").write_text("127.0.0.1 localhost kafka.test broker-0.kafka.test broker-1.kafka.test\n")
        (work / "haproxy.cfg").write_text(configuration(e2e, port))
        proxy = subprocess.Popen(["haproxy", "-db", "-f", work / "haproxy.cfg"])

        def kcat(*arguments, **more):
            return e2e.run("unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec kcat "$@"',
                           work / "hosts", "-b", servers, "-X", "security.protocol=ssl", "-X",
                           f"ssl.ca.location={work}/ca.pem", *arguments, **more).stdout

        def brokers():
            told = json.loads(kcat("-L", "-J", "-m", "30"))
            return {b["id"]: b["name"] for b in told["brokers"]}
        e2e.wait_for(lambda: brokers() == {i: f"broker-{i}.kafka.test:{port}" for i in (0, 1)},
                     "every broker to be told by its name", 60)
        inside = e2e.get("pod", f"{CLUSTER}-0")["status"]["podIP"]
        e2e.run(e2e.BIN / "sluice", "--broker", f"{inside}:9090", "stream", "create", "through", "--partitions", "4",
                "--replication", "2")
        for partition in range(4):  # both brokers lead some
            kcat("-P", "-t", "through", "-p", str(partition), "-X", "acks=all", stdin=f"to {partition}\n")
        got = kcat("-C", "-e", "-q", "-t", "through", "-f", "%p %s\n")
        assert sorted(got.splitlines()) == [f"{p} to {p}" for p in range(4)], got
    finally:
        if proxy:
            proxy.terminate()
            proxy.wait(30)
        for file in work.iterdir():
            file.unlink()
        work.rmdir()
        e2e.kubectl("delete", "streamcluster", CLUSTER)
    e2e.wait_for(lambda: f"{CLUSTER}-" not in e2e.kubectl("get", "pods,pvc,ingress", "-o", "name"), "it to be gone", 120)
