"""What streams used, on three real brokers in three zones: counted once, whatever is killed.

Records of known sizes through boto3, Kafka and `sluice`; brokers and the coordinator end by kill -9;
the bill must say exactly what is in the log. Every test prints one line; the last line is
"N passed, N failed".
"""
import decimal
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.request
import uuid

import boto3
import confluent_kafka
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

ROOT = pathlib.Path(__file__).resolve().parents[3]
BIN = pathlib.Path(os.environ.get("SLUICE_BIN", ROOT / "build/release/bin"))
UNIT = 25 * 1024
SIZES = [0, 1, 100, 1000, UNIT - 1, UNIT, UNIT + 1, 2 * UNIT, 2 * UNIT + 1, 60_000, 100_000]
PRICES = {"shardHour": "0.015", "millionPutUnits": "14000", "extendedRetentionShardHour": "0.02",
          "brokerHour": "0.21", "crossZoneGB": "10"}


def units(size):
    return max(1, -(-size // UNIT))


class Cluster:
    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="sluice-metering-"))
        (self.dir / "coordinator-flags").write_text("--metering-interval=1\n")
        table = {"currency": "EUR", "asOf": "2026-01-31", **PRICES}
        (self.dir / "prices.yaml").write_text("".join(f"{k}: {v}\n" for k, v in table.items()))
        for line in self.loopback("up", str(self.dir), "3").splitlines():
            name, _, value = line.partition("=")
            setattr(self, name.lower(), value.split(","))
        self.clients = {}

    def loopback(self, *args):
        done = subprocess.run([ROOT / "deploy/loopback", *args], capture_output=True, text=True,
                              env={**os.environ, "SLUICE_BIN": str(BIN)}, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def kinesis_at(self, broker):
        if broker not in self.clients:
            self.clients[broker] = boto3.client(
                "kinesis", endpoint_url=self.kinesis[broker], region_name="eu-central-1",
                aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key="secret",
                config=Config(retries={"total_max_attempts": 1}, read_timeout=30))
        return self.clients[broker]

    def sluice(self, *args, stdin=None):
        done = subprocess.run([BIN / "sluice", "--broker", ",".join(self.grpc), *args],
                              input=stdin, capture_output=True, timeout=120)
        assert done.returncode == 0, f"sluice {args}: {done.stderr.decode()}"
        return done.stdout.decode()

    def bill(self, stream=None, *more):
        words = ["stream", "bill", stream] if stream else ["cluster", "bill"]
        return json.loads(self.sluice(*words, *more, "-o", "json"))

    def usage(self, stream):
        return self.bill(stream)["total"]["usage"]

    def kill(self, name):
        os.kill(int((self.dir / name / "pid").read_text()), signal.SIGKILL)

    def start(self, name):
        self.loopback("start", str(self.dir), name)

    def coordinator_page(self):
        with urllib.request.urlopen(f"http://{self.coordinator_metrics[0]}/metrics") as page:
            return page.read().decode()

    def down(self, failed):
        self.loopback("down", str(self.dir))
        if failed:
            print(f"# logs are in {self.dir}")
        else:
            shutil.rmtree(self.dir)


def wait_for(condition, what, seconds=120):
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what} did not come within {seconds} s"
        time.sleep(0.1)


def make_stream(cluster, name, shards):
    client = cluster.kinesis_at(0)
    client.create_stream(StreamName=name, ShardCount=shards)
    wait_for(lambda: client.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
             ["StreamStatus"] == "ACTIVE", f"{name} ACTIVE")


def put(client, stream, sizes):
    """The sizes that were certainly stored; None when nobody knows of some."""
    records = [{"Data": b"x" * size, "PartitionKey": uuid.uuid4().hex} for size in sizes]
    try:
        answer = client.put_records(StreamName=stream, Records=records)
    except ClientError as error:
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500, error
        return None
    except BotoCoreError:
        return None  # the broker died while it was asked
    failed = [r.get("ErrorCode") for r in answer["Records"]]
    if any(code == "InternalFailure" for code in failed):
        return None
    return [size for size, code in zip(sizes, failed) if not code]


def stored(cluster, stream):
    """Sizes of all records that are in the log."""
    client, sizes = cluster.kinesis_at(0), []
    for shard in client.list_shards(StreamName=stream)["Shards"]:
        iterator = client.get_shard_iterator(StreamName=stream, ShardId=shard["ShardId"],
                                             ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
        while iterator:
            try:
                page = client.get_records(ShardIterator=iterator)
            except ClientError as error:
                if error.response["Error"]["Code"] != "ProvisionedThroughputExceededException":
                    raise
                time.sleep(0.2)
                continue
            sizes += [len(record["Data"]) for record in page["Records"]]
            iterator = page.get("NextShardIterator")
            if not page["Records"] and page["MillisBehindLatest"] == 0:
                break
    return sizes


def wait_counted(cluster, stream, sizes):
    want = (len(sizes), sum(units(size) for size in sizes))

    def there():
        usage = cluster.usage(stream)
        got = (usage["records"], usage["putPayloadUnits"])
        assert got[0] <= want[0] and got[1] <= want[1], f"counted {got}, stored {want}"
        return got == want

    wait_for(there, f"{want} in the bill of {stream}")


def test_payload_units_of_every_size(cluster):
    make_stream(cluster, "sizes", 4)
    sizes = []
    for broker in range(3):
        sizes += put(cluster.kinesis_at(broker), "sizes", SIZES)
    assert len(sizes) == 3 * len(SIZES)
    wait_counted(cluster, "sizes", sizes)


def test_killed_brokers_and_coordinators_count_once(cluster):
    make_stream(cluster, "killed", 4)
    acknowledged, unknown = [], 0

    def put_some(rounds, brokers=(0, 1, 2)):
        nonlocal unknown
        for i in range(rounds):
            done = put(cluster.kinesis_at(brokers[i % len(brokers)]), "killed", SIZES)
            if done is None:
                unknown += 1
            else:
                acknowledged.extend(done)

    put_some(6)
    cluster.kill("broker-1")
    put_some(6, brokers=(0, 2))
    cluster.kill("coordinator")
    put_some(6, brokers=(0, 2))
    cluster.start("coordinator")
    cluster.start("broker-1")
    put_some(6)
    wait_for(lambda: cluster.usage("killed")["records"] > 0, "a count")
    cluster.kill("broker-0")
    cluster.kill("coordinator")
    cluster.start("coordinator")
    cluster.start("broker-0")
    put_some(6)
    in_log = wait_for(lambda: stored(cluster, "killed"), "records")
    assert len(in_log) >= len(acknowledged)
    if not unknown:
        assert sorted(in_log) == sorted(acknowledged)
    wait_counted(cluster, "killed", in_log)


def test_every_broker_killed_at_once(cluster):
    make_stream(cluster, "all", 2)
    sizes = put(cluster.kinesis_at(0), "all", SIZES) + put(cluster.kinesis_at(1), "all", SIZES)
    for name in ("coordinator", "broker-0", "broker-1", "broker-2"):
        cluster.kill(name)
    cluster.loopback("up", str(cluster.dir), "3")
    wait_counted(cluster, "all", sizes)


def test_splits_and_merges_go_on_counting(cluster):
    cluster.sluice("stream", "create", "split", "--mode", "elastic", "--max-shards", "4")
    sizes = put(cluster.kinesis_at(0), "split", SIZES)
    cluster.sluice("shard", "split", "split", "0", "--into", "2")
    sizes += put(cluster.kinesis_at(1), "split", SIZES)
    cluster.kill("coordinator")
    cluster.start("coordinator")
    cluster.sluice("shard", "merge", "split", "1", "2")
    sizes += put(cluster.kinesis_at(2), "split", SIZES)
    wait_counted(cluster, "split", sizes)


def test_the_other_doors_are_counted_alike(cluster):
    cluster.sluice("stream", "create", "doors", "--partitions", "2")
    producer = confluent_kafka.Producer({"bootstrap.servers": ",".join(cluster.kafka)})
    for size in SIZES:
        producer.produce("doors", b"x" * size, key=b"k")
    assert producer.flush(60) == 0
    cluster.sluice("produce", "doors", stdin=b"a line\nanother\n")
    wait_counted(cluster, "doors", SIZES + [6, 7])


def test_time_is_counted_through_restarts(cluster):
    make_stream(cluster, "time", 3)
    wait_for(lambda: cluster.bill("time")["total"]["sinceMs"] > 0, "the meter")
    first_stream, first = cluster.bill("time"), cluster.bill()
    assert (first_stream["total"]["usage"]["shardMs"] ==
            3 * (first_stream["atMs"] - first_stream["total"]["sinceMs"]))
    cluster.kill("coordinator")
    cluster.kill("broker-2")
    cluster.start("coordinator")
    cluster.start("broker-2")
    second_stream, second = cluster.bill("time"), cluster.bill()
    grown = second_stream["total"]["usage"]["shardMs"] - first_stream["total"]["usage"]["shardMs"]
    assert grown == 3 * (second_stream["atMs"] - first_stream["atMs"]), grown
    # A broker that was away for a moment still is one.
    grown = second["total"]["usage"]["brokerUs"] - first["total"]["usage"]["brokerUs"]
    assert grown == 3 * 1000 * (second["atMs"] - first["atMs"]), grown
    assert second["total"]["usage"]["brokerUs"] == sum(
        line["usage"]["brokerUs"] for line in second["lines"])


def test_retention_above_a_day_is_extended(cluster):
    client = cluster.kinesis_at(0)
    make_stream(cluster, "kept", 2)
    assert cluster.usage("kept")["extendedRetentionShardMs"] == 0
    client.increase_stream_retention_period(StreamName="kept", RetentionPeriodHours=48)
    first = wait_for(lambda: (bill := cluster.bill("kept"))["total"]["usage"]
                     ["extendedRetentionShardMs"] and bill, "extended retention")
    second = cluster.bill("kept")
    grown = [second["total"]["usage"][k] - first["total"]["usage"][k]
             for k in ("extendedRetentionShardMs", "shardMs")]
    assert grown == [2 * (second["atMs"] - first["atMs"])] * 2, grown


def test_bytes_between_zones(cluster):
    make_stream(cluster, "zones", 1)
    sizes = put(cluster.kinesis_at(0), "zones", [50_000] * 10)

    def counted():
        usage = cluster.usage("zones")
        return usage["records"] == len(sizes) and usage

    usage = wait_for(counted, "the count")
    # Every broker is in a zone of its own: two copies of each byte cross, and what is said around them.
    usage = wait_for(lambda: (u := cluster.usage("zones"))["crossZoneBytes"]["replicated"] >=
                     2 * usage["bytes"] and u, "replicated bytes")
    before = usage["crossZoneBytes"]
    for name in ("broker-0", "broker-1", "broker-2"):
        cluster.kill(name)
    cluster.loopback("up", str(cluster.dir), "3")
    after = cluster.usage("zones")["crossZoneBytes"]
    assert after["replicated"] >= before["replicated"], (before, after)
    consumer = confluent_kafka.Consumer({
        "bootstrap.servers": ",".join(cluster.kafka), "group.id": "reader", "client.rack": "elsewhere",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest"})
    consumer.assign([confluent_kafka.TopicPartition("zones", 0, 0)])
    read = []
    wait_for(lambda: read.extend(consumer.consume(10, 1.0)) or len(read) >= len(sizes), "records")
    consumer.close()
    wait_for(lambda: cluster.usage("zones")["crossZoneBytes"]["fetched"] >= sum(sizes),
             "fetched bytes")


def test_money_and_metrics_agree_with_the_bill(cluster):
    make_stream(cluster, "money", 1)
    sizes = put(cluster.kinesis_at(0), "money", SIZES)
    wait_counted(cluster, "money", sizes)
    bill = cluster.bill("money")
    usage = bill["total"]["usage"]
    cost = bill["total"]["cost"]
    assert bill["prices"] == {"currency": "EUR", "asOf": "2026-01-31"}
    exact = decimal.Decimal(usage["putPayloadUnits"]) * decimal.Decimal(PRICES["millionPutUnits"])
    assert decimal.Decimal(cost["putPayloadUnits"]) == exact / 1_000_000, cost
    assert decimal.Decimal(cost["total"]) == sum(
        decimal.Decimal(amount) for name, amount in cost.items() if name != "total"), cost
    line = f'sluice_metering_put_units_total{{cluster="loopback",stream="money"}} '
    wait_for(lambda: line + str(usage["putPayloadUnits"]) in cluster.coordinator_page(), line)
    table = cluster.sluice("cluster", "bill")
    assert "EUR" in table and "at prices of 2026-01-31" in table, table
    other = cluster.dir / "other.yaml"
    other.write_text("currency: USD\nasOf: 2026-02-28\nmillionPutUnits: 1000000\n")
    repriced = cluster.bill("money", "--prices", str(other))["total"]["cost"]
    assert repriced["total"] == f"{usage['putPayloadUnits']}.000000", repriced


def test_deleted_streams_stay_in_the_total(cluster):
    make_stream(cluster, "gone", 1)
    sizes = put(cluster.kinesis_at(0), "gone", SIZES)
    wait_counted(cluster, "gone", sizes)
    sizes += put(cluster.kinesis_at(0), "gone", SIZES)  # counted by the last report
    before = cluster.bill()
    others = {line["stream"]: line["usage"]["putPayloadUnits"] for line in before["lines"]
              if line.get("stream") and line["stream"] != "gone"}
    cluster.kinesis_at(0).delete_stream(StreamName="gone")

    def deleted():
        return [line for line in cluster.bill()["lines"] if line.get("deletedStreams")]

    line = wait_for(deleted, "the deleted stream")[0]
    assert line["usage"]["putPayloadUnits"] == sum(units(size) for size in sizes), line
    cluster.kill("coordinator")
    cluster.start("coordinator")
    total = cluster.bill()["total"]["usage"]["putPayloadUnits"]
    assert total == sum(others.values()) + line["usage"]["putPayloadUnits"], total


def main():
    tests = [value for name, value in globals().items() if name.startswith("test_")]
    wanted = sys.argv[1:]
    tests = [test for test in tests if not wanted or test.__name__ in wanted]
    cluster = Cluster()
    failed = []
    for test in tests:
        try:
            test(cluster)
            print(f"ok {test.__name__}", flush=True)
        except Exception:  # a test's failure, whatever it is, is told and counted
            failed.append(test.__name__)
            print(f"FAILED {test.__name__}\n{traceback.format_exc()}", flush=True)
    cluster.down(failed)
    print(f"{len(tests) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
