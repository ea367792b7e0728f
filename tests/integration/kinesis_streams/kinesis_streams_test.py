"""Kinesis streams on three real brokers, with boto3 through all of them.

Order of keys under many writers while shards split and merge, limits that hold across brokers,
tokens and changes that any broker takes, and one log behind three doors. Every test prints one
line; the last line is "N passed, N failed".
"""
import base64
import collections
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback

import boto3
import confluent_kafka
from botocore.config import Config
from botocore.exceptions import ClientError

ROOT = pathlib.Path(__file__).resolve().parents[3]
BIN = pathlib.Path(os.environ.get("SLUICE_BIN", ROOT / "build/release/bin"))
THROTTLED = "ProvisionedThroughputExceededException"
KEY_SPACE = 1 << 128


class Cluster:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="sluice-kinesis-")
        # Where each door is: lines like KAFKA=host:port,...
        for line in self.loopback("up", self.dir, "3").splitlines():
            name, _, value = line.partition("=")
            setattr(self, name.lower(), value.split(","))
        self.clients = {}

    def loopback(self, *args):
        done = subprocess.run([ROOT / "deploy/loopback", *args], capture_output=True, text=True,
                              env={**os.environ, "SLUICE_BIN": str(BIN)}, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def client(self, broker, retries=4):
        """Threads share a client: it costs a second of processor time to make one."""
        if (broker, retries) not in self.clients:
            self.clients[broker, retries] = self.new_client(broker, retries)
        return self.clients[broker, retries]

    def new_client(self, broker, retries):
        return boto3.client(
            "kinesis", endpoint_url=self.kinesis[broker], region_name="eu-central-1",
            aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key="secret",
            config=Config(retries={"total_max_attempts": retries, "mode": "standard"},
                          max_pool_connections=32, read_timeout=30))

    def sluice(self, *args, stdin=None):
        done = subprocess.run([BIN / "sluice", "--broker", ",".join(self.grpc), *args],
                              input=stdin, capture_output=True, timeout=120)
        assert done.returncode == 0, f"sluice {args}: {done.stderr.decode()}"
        return done.stdout.decode()

    def down(self, failed):
        self.loopback("down", self.dir)
        if failed:
            print(f"# logs are in {self.dir}")
        else:
            shutil.rmtree(self.dir)


def error_of(call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return None


def wait_for(condition, what, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come within {seconds} s"
        time.sleep(0.05)


def status_of(client, stream):
    return client.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]


def wait_active(client, stream):
    wait_for(lambda: status_of(client, stream)["StreamStatus"] == "ACTIVE", f"{stream} ACTIVE")


def shards_of(client, stream):
    shards, token = [], None
    while True:
        page = client.list_shards(**({"NextToken": token} if token else {"StreamName": stream}),
                                  MaxResults=7)
        shards += page["Shards"]
        token = page.get("NextToken")
        if not token:
            return shards


def read_shard(client, stream, shard, start="TRIM_HORIZON"):
    """All records of a shard: to its end when it is closed, else until there are no more."""
    iterator = client.get_shard_iterator(StreamName=stream, ShardId=shard,
                                         ShardIteratorType=start)["ShardIterator"]
    records = []
    while iterator:
        try:
            page = client.get_records(ShardIterator=iterator)
        except ClientError as error:
            if error.response["Error"]["Code"] != THROTTLED:
                raise
            time.sleep(0.2)
            continue
        records += page["Records"]
        iterator = page.get("NextShardIterator")
        if iterator and not page["Records"] and page["MillisBehindLatest"] == 0:
            return records, None
    return records, page["ChildShards"]


class Writer(threading.Thread):
    """Puts numbered records of its own keys, each after the one before was taken."""

    def __init__(self, cluster, stream, name, stop):
        super().__init__()
        self.clients = [cluster.client(broker) for broker in range(3)]
        self.stream, self.keys, self.stop = stream, [f"{name}-{i}" for i in range(6)], stop
        self.next = collections.Counter()
        self.numbers = collections.defaultdict(list)
        self.throttled = 0
        self.error = None

    def run(self):
        try:
            while not self.stop.wait(0.01):
                self.put(self.keys)
        except Exception as error:  # the test says it
            self.error = error

    def put(self, keys):
        """One record of each key; those that a shard refuses again, before any other."""
        while keys:
            client = random.choice(self.clients)
            answer = client.put_records(StreamName=self.stream, Records=[
                {"PartitionKey": key, "Data": str(self.next[key]).encode()} for key in keys])
            again = []
            for key, result in zip(keys, answer["Records"]):
                if "SequenceNumber" in result:
                    self.numbers[key].append(int(result["SequenceNumber"]))
                    self.next[key] += 1
                else:
                    assert result["ErrorCode"] == THROTTLED, result
                    again.append(key)
            if again:
                self.throttled += 1
                time.sleep(0.1)
            keys = again


def reshard_at_random(client, stream, rounds):
    """Splits, merges and rescales, as one may."""
    for turn in range(rounds):
        wait_active(client, stream)
        shards = [s for s in shards_of(client, stream)
                  if "EndingSequenceNumber" not in s["SequenceNumberRange"]]
        shards.sort(key=lambda s: int(s["HashKeyRange"]["StartingHashKey"]))
        if turn % 3 == 0:
            shard = random.choice(shards)
            first, last = (int(shard["HashKeyRange"][f"{end}HashKey"])
                           for end in ("Starting", "Ending"))
            client.split_shard(StreamName=stream, ShardToSplit=shard["ShardId"],
                               NewStartingHashKey=str((first + last) // 2))
        elif turn % 3 == 1:
            at = random.randrange(len(shards) - 1)
            client.merge_shards(StreamName=stream, ShardToMerge=shards[at]["ShardId"],
                                AdjacentShardToMerge=shards[at + 1]["ShardId"])
        else:
            client.update_shard_count(StreamName=stream, ScalingType="UNIFORM_SCALING",
                                      TargetShardCount=random.choice([2, 3, 4]))
    wait_active(client, stream)


def test_keys_keep_their_order_while_shards_split_and_merge(cluster):
    client = cluster.client(0)
    client.create_stream(StreamName="order", ShardCount=2)
    stop = threading.Event()
    writers = [Writer(cluster, "order", f"w{i}", stop) for i in range(4)]
    for writer in writers:
        writer.start()
    try:
        reshard_at_random(cluster.client(1), "order", 9)
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    for writer in writers:
        assert writer.error is None, repr(writer.error)
    # Parents before children.
    shards = {s["ShardId"]: s for s in shards_of(client, "order")}
    assert len(shards) > 10, len(shards)
    done, read = set(), collections.defaultdict(list)
    waiting = list(shards)
    while waiting:
        shard = next(s for s in waiting if not any(
            shards[s].get(parent) in waiting for parent in ("ParentShardId",
                                                            "AdjacentParentShardId")))
        waiting.remove(shard)
        records, children = read_shard(cluster.client(len(done) % 3), "order", shard)
        done.add(shard)
        closed = "EndingSequenceNumber" in shards[shard]["SequenceNumberRange"]
        assert closed == (children is not None), (shard, closed)
        for record in records:
            read[record["PartitionKey"]].append(
                (int(record["Data"]), int(record["SequenceNumber"])))
    written = 0
    for writer in writers:
        for key in writer.keys:
            written += writer.next[key]
            assert [n for n, _ in read[key]] == list(range(writer.next[key])), key
            assert [s for _, s in read[key]] == writer.numbers[key], key
            assert writer.numbers[key] == sorted(set(writer.numbers[key])), key
    assert written > 200, written
    return f"{written} records, {len(shards)} shards"


def test_a_shards_limit_holds_across_brokers(cluster):
    client = cluster.client(0)
    client.create_stream(StreamName="limited", ShardCount=1)
    taken, refused = collections.Counter(), collections.Counter()
    own_clients = [cluster.client(broker, retries=1) for broker in range(3)]
    begin = time.monotonic()

    def put(broker):
        own = own_clients[broker]
        records = [{"PartitionKey": "k", "Data": b"d"}] * 250
        while time.monotonic() < begin + 4:
            answer = own.put_records(StreamName="limited", Records=records)
            refused[broker] += answer["FailedRecordCount"]
            taken[broker] += len(records) - answer["FailedRecordCount"]

    threads = [threading.Thread(target=put, args=(broker,)) for broker in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - begin
    # Never more than 1,000 in a second, so not more than that in each that has begun.
    total = sum(taken.values())
    assert total <= 1000 * (int(seconds) + 1), (total, seconds)
    assert sum(refused.values()) > 0
    records, _ = read_shard(client, "limited", "shardId-000000000000")
    assert len(records) == total, (len(records), total)
    cluster.sluice("stream", "update", "limited", "--limits", "none")
    answer = [client.put_records(StreamName="limited", Records=[
        {"PartitionKey": "k", "Data": b"d"}] * 500) for _ in range(6)]
    assert sum(a["FailedRecordCount"] for a in answer) == 0
    return f"{total} taken, {sum(refused.values())} refused in {seconds:.1f} s"


def test_iterators_and_tokens_are_any_brokers(cluster):
    first, second = cluster.client(0), cluster.client(1)
    first.create_stream(StreamName="tokens", ShardCount=5)
    put = second.put_record(StreamName="tokens", PartitionKey="k", Data=b"d")
    iterator = first.get_shard_iterator(StreamName="tokens", ShardId=put["ShardId"],
                                        ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
    for broker in range(3):
        records = cluster.client(broker).get_records(ShardIterator=iterator)["Records"]
        assert [r["Data"] for r in records] == [b"d"]
    page = first.list_shards(StreamName="tokens", MaxResults=2)
    rest = second.list_shards(NextToken=page["NextToken"])
    assert [s["ShardId"][-1] for s in page["Shards"] + rest["Shards"]] == list("01234")
    forged = iterator[:-3] + ("AAA" if iterator[-3:] != "AAA" else "BBB")
    assert error_of(second.get_records, ShardIterator=forged) == "InvalidArgumentException"


def test_changes_through_several_brokers_at_once_all_count(cluster):
    clients = [cluster.client(broker) for broker in range(3)]
    clients[0].create_stream(StreamName="changes", ShardCount=1)
    arn = status_of(clients[0], "changes")["StreamARN"]
    outcomes = []

    def change(index):
        client = clients[index % 3]
        client.add_tags_to_stream(StreamName="changes", Tags={f"tag{index}": str(index)})
        outcomes.append(error_of(client.register_stream_consumer, StreamARN=arn,
                                 ConsumerName="the-one"))

    threads = [threading.Thread(target=change, args=(index,)) for index in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(o or "" for o in outcomes) == [""] + ["ResourceInUseException"] * 8, outcomes
    tags = clients[1].list_tags_for_stream(StreamName="changes")["Tags"]
    assert {t["Key"]: t["Value"] for t in tags} == {f"tag{i}": str(i) for i in range(9)}


def test_a_rescale_goes_on_when_its_broker_dies(cluster):
    client = cluster.client(0)
    client.create_stream(StreamName="rescale", ShardCount=8)
    cluster.sluice("stream", "update", "rescale", "--limits", "none")
    shards = json.loads(cluster.sluice("shard", "list", "rescale", "-o", "json"))
    victim = shards[0]["leader"]
    other = cluster.client((victim + 1) % 3)
    other.update_shard_count(StreamName="rescale", TargetShardCount=27,
                             ScalingType="UNIFORM_SCALING")
    pid = int(pathlib.Path(cluster.dir, f"broker-{victim}", "pid").read_text())
    os.kill(pid, signal.SIGKILL)
    cluster.loopback("start", cluster.dir, f"broker-{victim}")
    wait_active(other, "rescale")
    starts = sorted(int(s["HashKeyRange"]["StartingHashKey"]) for s in shards_of(other, "rescale")
                    if "EndingSequenceNumber" not in s["SequenceNumberRange"])
    assert len(starts) == 27, len(starts)
    widths = [b - a for a, b in zip(starts, starts[1:] + [KEY_SPACE])]
    assert max(widths) - min(widths) < 27


# ---- three doors ----

KEYS = [None, b"", b"k", "clé".encode(), b"\xff\xfe", b"$sluice.null", b"k" * 300]


def partition_key(key):
    """A record's key as Kinesis shows it (broker/handlers/kinesis/README.md)."""
    def form(text):
        return "$sluice.base64." + base64.urlsafe_b64encode(text).decode().rstrip("=")
    if key is None:
        return "$sluice.null"
    if key == b"":
        return "$sluice.empty"
    if key in (b"\xff\xfe", b"$sluice.null"):
        return form(key)
    return key.decode()


def through_kafka(cluster, topic, partition):
    consumer = confluent_kafka.Consumer({
        "bootstrap.servers": ",".join(cluster.kafka), "group.id": "doors",
        "enable.partition.eof": True, "enable.auto.commit": False})
    consumer.assign([confluent_kafka.TopicPartition(topic, partition, 0)])
    out = []
    while True:
        message = consumer.poll(30)
        assert message is not None, "no message within 30 s"
        if message.error():
            assert message.error().code() == confluent_kafka.KafkaError._PARTITION_EOF
            consumer.close()
            return out
        out.append((message.offset(), message.key(), message.value(), message.timestamp()[1]))


def through_grpc(cluster, stream, shard):
    out = []
    for line in cluster.sluice("consume", stream, "--shard", str(shard), "--from-beginning",
                               "--until-end", "--follow-children", "false", "-o",
                               "json").splitlines():
        record = json.loads(line)
        def field(name):
            if f"{name}_base64" in record:
                return base64.b64decode(record[f"{name}_base64"])
            return None if record[name] is None else record[name].encode()
        out.append((record["offset"], field("key"), field("value"), record["timestamp"]))
    return out


def through_kinesis(cluster, stream, shard):
    records, _ = read_shard(cluster.client(shard % 3), stream, f"shardId-{shard:012}")
    return [(r["SequenceNumber"], r["PartitionKey"], r["Data"],
             round(r["ApproximateArrivalTimestamp"].timestamp() * 1000)) for r in records]


def compare_doors(cluster, stream, shards):
    """The same records in the same order through every door; how many there are."""
    count = 0
    for shard in range(shards):
        kafka = through_kafka(cluster, stream, shard)
        assert kafka == through_grpc(cluster, stream, shard), f"gRPC differs in shard {shard}"
        kinesis = through_kinesis(cluster, stream, shard)
        assert [(partition_key(k), v or b"", t) for _, k, v, t in kafka] == \
            [(k, v, t) for _, k, v, t in kinesis], f"Kinesis differs in shard {shard}"
        numbers = [int(number) for number, *_ in kinesis]
        assert numbers == sorted(set(numbers))
        for (offset, *_), (number, *_) in zip(kafka[-1:], kinesis[-1:]):
            where = json.loads(cluster.sluice("shard", "offset", stream, number, "-o", "json"))
            assert (where["shard"], where["offset"]) == (shard, offset), where
            what = json.loads(cluster.sluice("shard", "sequence", stream, str(shard), str(offset),
                                             "-o", "json"))
            assert what["sequenceNumber"] == number, what
        count += len(kafka)
    return count


def test_a_topic_is_one_log_behind_three_doors(cluster):
    cluster.sluice("stream", "create", "doors", "--partitions", "3")
    client = cluster.client(2)
    producer = confluent_kafka.Producer({"bootstrap.servers": ",".join(cluster.kafka),
                                         "enable.idempotence": True})
    for turn in range(4):
        for key in KEYS:
            producer.produce("doors", key=key, value=f"kafka {turn}".encode(), partition=turn % 3,
                             timestamp=1_700_000_000_000 + turn)
        assert producer.flush(30) == 0
        for key in KEYS[2:4]:
            client.put_record(StreamName="doors", PartitionKey=key.decode(),
                              Data=f"kinesis {turn}".encode(),
                              ExplicitHashKey=str(turn % 3 * (KEY_SPACE // 3) + 5))
        cluster.sluice("produce", "doors", stdin=f"grpc {turn}\n".encode())
    # What Kinesis shows as a key puts the same key back.
    for record in through_kinesis(cluster, "doors", 0):
        if len(record[1]) <= 256:
            client.put_record(StreamName="doors", PartitionKey=record[1], Data=b"again",
                              ExplicitHashKey="0")
    again = [k for _, k, v, _ in through_kafka(cluster, "doors", 0) if v == b"again"]
    assert set(KEYS) - {b"k" * 300} <= set(again), again
    return f"{compare_doors(cluster, 'doors', 3)} records"


def test_a_stream_is_read_through_every_door(cluster):
    client = cluster.client(1)
    client.create_stream(StreamName="elastic", ShardCount=2)
    for i in range(40):
        client.put_record(StreamName="elastic", PartitionKey=f"key{i % 7}", Data=str(i).encode())
    client.split_shard(StreamName="elastic", ShardToSplit="shardId-000000000000",
                       NewStartingHashKey=str(KEY_SPACE // 4))
    for i in range(40, 80):
        client.put_record(StreamName="elastic", PartitionKey=f"key{i % 7}", Data=str(i).encode())
    count = compare_doors(cluster, "elastic", 4)
    assert count == 80, count


def main():
    wanted = sys.argv[1:]
    tests = [(name[5:], test) for name, test in globals().items()
             if name.startswith("test_") and (not wanted or name[5:] in wanted)]
    passed = failed = 0
    cluster = Cluster()
    try:
        for name, test in tests:
            began = time.monotonic()
            try:
                note = test(cluster)
                passed += 1
                print(f"ok   {name} ({time.monotonic() - began:.1f} s{', ' + note if note else ''})",
                      flush=True)
            except Exception:
                failed += 1
                print(f"FAIL {name}\n{traceback.format_exc()}", flush=True)
    finally:
        cluster.down(failed)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
