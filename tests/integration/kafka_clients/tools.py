"""kcat and Kafka's own command-line tools, by their main classes."""
import json
import pathlib
import subprocess
import tempfile
import time

from clients import need


def create_topic(cluster, binaries, topic, replication):
    done = subprocess.run([binaries / "sluice", "--broker", cluster.env["GRPC"].split(",")[0], "stream", "create", topic,
                           "--partitions", "3", "--replication", str(replication)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def kcat(cluster):
    need("kcat")

    def call(*arguments, stdin=""):
        done = subprocess.run(["kcat", "-b", cluster.kafka, *arguments], input=stdin, capture_output=True, text=True,
                              timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout
    # The topic is made by asking for it: auto.create.topics.enable.
    call("-P", "-t", "kcat", "-z", "lz4", "-K", ":", "-H", "a=b", stdin="k1:v1\nk2:v2\n")
    out = call("-C", "-t", "kcat", "-e", "-q", "-o", "beginning", "-f", "%k=%s %h\n")
    assert sorted(out.split("\n")[:2]) == ["k1=v1 a=b", "k2=v2 a=b"], out
    listed = json.loads(call("-L", "-J", "-t", "kcat"))
    assert len(listed["brokers"]) == 3 and listed["topics"][0]["topic"] == "kcat", listed
    assert "kcat [0] offset 0" in call("-Q", "-t", "kcat:0:-2"), "offsets"


def kafka_tools(cluster, binaries, results, java):
    """Each tool: its arguments, its input, and what its output must hold."""
    if not results.test("Kafka's tools: installed", java.prepare):
        return
    server = ["--bootstrap-server", cluster.kafka]
    topic = ["--topic", "tools"]

    def call(main, *arguments, stdin=""):
        name = main if main.startswith("kafka.") else f"org.apache.kafka.tools.{main}"
        done = subprocess.run(java.java(name, *arguments), input=stdin, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, f"{done.returncode}: {done.stdout[-800:]}{done.stderr[-1500:]}"
        return done.stdout + done.stderr

    def has(output, *parts):
        for part in parts:
            assert part in output, f"no '{part}' in: {output[-1500:]}"

    def file(content):
        path = pathlib.Path(tempfile.mkstemp(dir=cluster.dir, suffix=".json")[1])
        path.write_text(json.dumps(content))
        return str(path)

    def topics():
        call("TopicCommand", *server, "--create", *topic, "--partitions", "2", "--replication-factor", "3",
             "--config", "retention.ms=7200000")
        has(call("TopicCommand", *server, "--describe", *topic), "PartitionCount: 2", "ReplicationFactor: 3",
            "retention.ms=7200000")
        call("TopicCommand", *server, "--alter", *topic, "--partitions", "3")
        has(call("TopicCommand", *server, "--list"), "tools")

    def configs():
        call("kafka.admin.ConfigCommand", *server, "--entity-type", "topics", "--entity-name",
             "tools", "--alter", "--add-config", "max.message.bytes=100000", "--delete-config", "retention.ms")
        out = call("kafka.admin.ConfigCommand", *server, "--entity-type", "topics", "--entity-name", "tools", "--describe")
        has(out, "max.message.bytes=100000")
        assert "retention.ms=7200000" not in out, out
        has(call("kafka.admin.ConfigCommand", *server, "--entity-type", "brokers", "--entity-name", "0", "--describe", "--all"),
            "auto.create.topics.enable=true")

    def quotas():
        client = ["--entity-type", "clients", "--entity-name", "tools"]
        call("kafka.admin.ConfigCommand", *server, *client, "--alter", "--add-config",
             "producer_byte_rate=1048576,request_percentage=50")
        has(call("kafka.admin.ConfigCommand", *server, *client, "--describe"),
            "producer_byte_rate=1048576.0", "request_percentage=50.0")
        call("kafka.admin.ConfigCommand", *server, *client, "--alter", "--delete-config",
             "producer_byte_rate,request_percentage")
        assert "producer_byte_rate" not in call("kafka.admin.ConfigCommand", *server, *client, "--describe")

    def producer_consumer():
        call("ConsoleProducer", *server, *topic, "--command-property", "acks=all", stdin="one\ntwo\nthree\n")
        # As a group of its own that gets all partitions.
        has(call("consumer.ConsoleConsumer", *server, *topic, "--from-beginning", "--max-messages", "3"),
            "one", "two", "three")

    def perf():
        has(call("ProducerPerformance", "--bootstrap-server", cluster.kafka, *topic, "--num-records", "20000", "--record-size", "100",
                 "--throughput", "-1"), "20000 records sent")

    def offsets():
        out = call("GetOffsetShell", *server, *topic)
        assert sum(int(line.split(":")[2]) for line in out.splitlines() if line.startswith("tools:")) == 20003, out

    def delete_records():
        has(call("DeleteRecordsCommand", *server, "--offset-json-file",
                 file({"partitions": [{"topic": "tools", "partition": 0, "offset": 1}], "version": 1})),
            "low_watermark: 1")

    def reassign():
        move = {"partitions": [{"topic": "tools", "partition": 0, "replicas": [2, 1, 0]}], "version": 1}
        plan = file(move)
        call("reassign.ReassignPartitionsCommand", *server, "--reassignment-json-file", plan, "--execute")
        has(call("reassign.ReassignPartitionsCommand", *server, "--reassignment-json-file", plan, "--verify"),
            "Reassignment of partition tools-0 is completed")
        has(call("reassign.ReassignPartitionsCommand", *server, "--list"), "No partition reassignments found")

    def resize():
        """Kafka's own way to another replication factor, with a throttle for what it moves."""
        throttle = "leader.replication.throttled.rate=50000000"
        for replicas in [2, 0], [1], [0, 1, 2]:
            plan = file({"version": 1, "partitions": [
                {"topic": "tools", "partition": p, "replicas": replicas[p % len(replicas):] + replicas[:p % len(replicas)]}
                for p in range(3)]})
            call("reassign.ReassignPartitionsCommand", *server, "--reassignment-json-file", plan, "--execute",
                 "--throttle", "50000000")
            assert len(replicas) == 2 or throttle in settings("brokers", "1")  # where something moves
            until(lambda: "Reassignment of partition tools-2 is completed" in
                  call("reassign.ReassignPartitionsCommand", *server, "--reassignment-json-file", plan, "--verify"))
            until(lambda: f"replication  {len(replicas)}," in describe("tools"))
            has(call("TopicCommand", *server, "--describe", *topic), f"ReplicationFactor: {len(replicas)}")
            for entity in ("brokers", "1"), ("topics", "tools"):
                assert "throttled" not in settings(*entity), entity  # --verify has taken it back

    def settings(kind, name):
        return call("kafka.admin.ConfigCommand", *server, "--entity-type", kind, "--entity-name", name, "--describe")

    def until(condition):
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, "did not come to be"
            time.sleep(0.5)

    def describe(stream):
        done = subprocess.run([binaries / "sluice", "--broker", cluster.env["GRPC"].split(",")[0], "stream", "describe",
                               stream], capture_output=True, text=True, check=True)
        return done.stdout

    tests = {
        "kafka-topics": topics,
        "kafka-configs": configs,
        "kafka-configs --entity-type clients": quotas,
        "kafka-console-producer, kafka-console-consumer": producer_consumer,
        "kafka-producer-perf-test": perf,
        "kafka-get-offsets": offsets,
        "kafka-delete-records": delete_records,
        "kafka-log-dirs": lambda: has(call("LogDirsCommand", *server, "--describe", "--topic-list", "tools"),
                                      '"partition":"tools-0"'),
        "kafka-metadata-quorum": lambda: has(call("MetadataQuorumCommand", *server, "describe", "--status"), "LeaderId"),
        "kafka-broker-api-versions": lambda: has(call("BrokerApiVersionsCommand", *server), "Produce(0): 0 to 13",
                                                 "IncrementalAlterConfigs(44): 0 to 1"),
        "kafka-reassign-partitions": reassign,
        "kafka-reassign-partitions, other replication factors": resize,
        "kafka-leader-election": lambda: has(call("LeaderElectionCommand", *server, "--election-type", "preferred", *topic,
                                                  "--partition", "0"), "tools-0"),
        "kafka-features": lambda: call("FeatureCommand", *server, "describe"),
        "kafka-cluster": lambda: has(call("ClusterTool", "cluster-id", *server), "Cluster ID"),
        "kafka-topics --delete": lambda: call("TopicCommand", *server, "--delete", *topic),
    }
    for name, function in tests.items():
        results.test(name, function)
