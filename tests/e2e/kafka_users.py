"""kafka-acls.sh and kafka-configs.sh, unchanged, against StreamUsers: what they change is in force when
they are answered, and is the resource's and its Secret's."""
import base64
import json
import sys


def check(e2e):
    """`e2e`: the module of the tests, for its cluster and what it asks of it."""
    sys.path.insert(0, str(e2e.ROOT / "tests/integration/kafka_clients"))
    from clients import Java
    java = Java("java")
    java.prepare()
    kubectl, get, wait_for, condition = e2e.kubectl, e2e.get, e2e.wait_for, e2e.condition
    objects = [("StreamCluster", "people", {
        "brokers": 1, "authorization": {"enabled": True, "superUsers": ["root"]},
        "listeners": [{"name": "outside", "port": 9097, "type": "NodePort", "authentication": "Scram"}],
        "storage": {"size": "300Mi", "deletionPolicy": "Delete"}}),
        ("StreamUser", "root", {"cluster": "people"}), ("StreamUser", "alice", {"cluster": "people"})]
    kubectl("apply", "-f", "-", stdin="\n---\n".join(json.dumps({
        "apiVersion": "sluice.dev/v1alpha1", "kind": kind, "metadata": {"name": name, "namespace": "default"},
        "spec": spec}) for kind, name, spec in objects))

    def secret(name):
        return {k: base64.b64decode(v).decode() for k, v in get("secret", name)["data"].items()}

    def tool(main, *args, user="root", password=None, mechanism="SCRAM-SHA-512", fails=False):
        """Its output; `fails`: it must be refused."""
        jaas = ('org.apache.kafka.common.security.scram.ScramLoginModule required '
                f'username="{user}" password="{password or secret(user)["password"]}";')
        config = e2e.HOME / f"people-{e2e.RUN}.properties"
        config.write_text(f"security.protocol=SASL_PLAINTEXT\nsasl.mechanism={mechanism}\n"
                          f"sasl.jaas.config={jaas}\ndefault.api.timeout.ms=60000\n")
        done = e2e.run(*java.java(main, "--bootstrap-server", servers(), "--command-config", config, *args),
                   check=False)
        config.unlink()
        out = done.stdout + done.stderr
        # kafka-acls.sh ends with 0 whatever it is told.
        assert fails == ("Exception" in out or done.returncode != 0), out[-1500:]
        return out

    def acls(*args, **more):
        return tool("org.apache.kafka.tools.AclCommand", *args, **more)

    def credentials(*args, **more):
        return tool("kafka.admin.ConfigCommand", "--entity-type", "users", *args, **more)

    def topics(**who):
        return tool("org.apache.kafka.tools.TopicCommand", "--list", **who).split()

    def rules():
        return get("streamuser", "alice")["spec"].get("acls", [])

    def servers():
        status = get("streamcluster", "people")["status"].get("listeners", [])
        return next((x.get("bootstrapServers", "") for x in status if x["name"] == "outside"), "")

    try:
        wait_for(lambda: condition("streamcluster", "people", "Ready") and servers(), "the cluster", 180)
        for name in ("root", "alice"):
            wait_for(lambda: condition("streamuser", name, "Ready"), name)
        tool("org.apache.kafka.tools.TopicCommand", "--create", "--topic", "orders-1", "--partitions", "1")
        assert "orders-1" not in topics(user="alice")

        rule = ("--allow-principal", "User:alice", "--operation", "Read", "--operation", "Describe",
                "--topic", "orders-", "--resource-pattern-type", "prefixed")
        acls("--add", *rule)
        assert [{**r, "operations": sorted(r["operations"])} for r in rules()] == [
            {"resource": "Topic", "name": "orders-", "prefix": True, "effect": "Allow",
             "operations": ["Describe", "Read"]}], rules()
        assert "orders-1" in topics(user="alice"), "it is answered when it holds"
        listed = acls("--list", "--principal", "User:alice")
        assert "patternType=PREFIXED" in listed and "operation=READ" in listed, listed
        assert "make one first" in acls("--add", "--allow-principal", "User:nobody", "--operation", "Read",
                                        "--topic", "t", fails=True)
        acls("--add", *rule, user="alice", fails=True)
        acls("--remove", "--force", *rule)
        assert rules() == []
        assert "orders-1" not in topics(user="alice")

        made = secret("alice")["password"]
        alice, sha256 = ("--entity-name", "alice"), {"user": "alice", "mechanism": "SCRAM-SHA-256"}
        credentials("--alter", *alice, "--add-config", "SCRAM-SHA-256=[iterations=8192,password=chosen]")
        topics(password="chosen", **sha256)
        topics(password=made, fails=True, **sha256)
        topics(password=made, user="alice")  # by the other mechanism, as with Kafka
        assert "SCRAM-SHA-256=iterations=8192" in credentials("--describe", *alice)
        kept = secret("alice")
        assert "password" not in kept and "chosen" not in str(kept), kept.keys()
        version = get("secret", "alice")["metadata"]["resourceVersion"]
        assert get("streamuser", "alice")["metadata"]["annotations"]["sluice.dev/secret-version"] == version
        credentials("--alter", *alice, "--delete-config", "SCRAM-SHA-256")
        topics(password="chosen", fails=True, **sha256)
        credentials("--alter", "--entity-name", "nobody", "--add-config", "SCRAM-SHA-256=[password=x]", fails=True)
    finally:
        kubectl("delete", "streamusers", "root", "alice")
        kubectl("delete", "streamcluster", "people")
    wait_for(lambda: "people-0" not in kubectl("get", "pods,pvc", "-o", "name"), "it to be gone", 120)
