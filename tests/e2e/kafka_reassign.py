"""kafka-reassign-partitions.sh, unchanged: what it makes of a topic's replication is its Stream's."""
import json
import sys


def check(e2e, servers, topic, partitions):
    """`e2e`: the module of the tests; `servers`: of its cluster, as clients outside reach it."""
    sys.path.insert(0, str(e2e.ROOT / "tests/integration/kafka_clients"))
    from clients import Java
    java = Java("java")
    java.prepare()
    plan = e2e.HOME / f"{topic}.json"
    for replicas in [0, 1], [2, 0, 1]:
        plan.write_text(json.dumps({"version": 1, "partitions": [
            {"topic": topic, "partition": p, "replicas": replicas} for p in range(partitions)]}))
        e2e.run(*java.java("org.apache.kafka.tools.reassign.ReassignPartitionsCommand", "--bootstrap-server",
                           servers, "--reassignment-json-file", plan, "--execute"))
        e2e.wait_for(lambda: e2e.get("stream", topic)["spec"]["replication"] == len(replicas),
                     f"the Stream to have replication {len(replicas)}", 120)
        shards = json.loads(e2e.sluice("stream", "describe", topic, "-o", "json").stdout)["shards"]
        assert [s["replicas"] for s in shards] == [replicas] * partitions, shards
    plan.unlink()
