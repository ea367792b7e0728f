"""The native API on one real broker.

A Python client that knows Sluice only through reflection, and the `sluice` command line. Every test
prints one line; the last line is "N passed, N failed".
"""
import collections
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

ROOT = pathlib.Path(__file__).resolve().parents[3]
BIN = pathlib.Path(os.environ.get("SLUICE_BIN", ROOT / "build/release/bin"))


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Broker:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="sluice-grpc-")
        self.ports = {name: free_port() for name in ("kafka", "grpc", "kinesis", "metrics")}
        self.process = None
        self.start()

    @property
    def address(self):
        return f"127.0.0.1:{self.ports['grpc']}"

    def start(self):
        listeners = [word for name, port in self.ports.items()
                     for word in (f"--{name}", f"127.0.0.1:{port}")]
        with open(f"{self.dir}/log", "ab") as log:
            self.process = subprocess.Popen(
                [BIN / "sluice-broker", "--dev", "--data", f"{self.dir}/data", *listeners],
                stdout=subprocess.PIPE, stderr=log, text=True)
        line = self.process.stdout.readline()
        assert "ready" in line, f"the broker did not start: see {self.dir}/log"

    def end(self, sig):
        self.process.send_signal(sig)
        return self.process.wait(timeout=30)

    def command(self, *args):
        return [str(BIN / "sluice"), "--broker", self.address, *args]

    def sluice(self, *args, stdin=None, status=0):
        done = subprocess.run(self.command(*args), input=stdin, capture_output=True, timeout=120)
        out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        assert done.returncode == status, f"sluice {args}: {done.returncode} {out}{err}"
        return out if status == 0 else err


class Api:
    """Calls by name, with message types that the broker describes."""

    def __init__(self, address):
        self.channel = grpc.insecure_channel(address)
        self.database = ProtoReflectionDescriptorDatabase(self.channel)
        self.pool = descriptor_pool.DescriptorPool(self.database)

    def type(self, name):
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(name))

    def make(self, name, **fields):
        return self.type(f"sluice.v1.{name}")(**fields)

    def stream(self, method, requests, timeout=30):
        answer = self.type(f"sluice.v1.{method}Response")
        return self.channel.stream_stream(
            f"/sluice.v1.Sluice/{method}", request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=answer.FromString)(requests, timeout=timeout)


def records(text):
    return [json.loads(line) for line in text.splitlines()]


def check_order(read):
    """Each key's values never fall; returns the set of values."""
    last = collections.defaultdict(int)
    for record in read:
        value = int(record["value"])
        assert value >= last[record["key"]], f"{record} after {last[record['key']]}"
        last[record["key"]] = value
    return {int(record["value"]) for record in read}


def keyed(count, keys):
    return "".join(f"k{n % keys}\t{n}\n" for n in range(1, count + 1)).encode()


def test_reflection_and_health(broker, api):
    assert "sluice.v1.Sluice" in api.database.get_services()
    # The standard health service, by its bytes: an empty request, `status: SERVING` (field 1 = 1).
    assert api.channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=10) == b"\x08\x01"


def test_foreign_client_publishes_and_subscribes(broker, api):
    broker.sluice("stream", "create", "foreign", "--partitions", "2")
    requests = [api.make("PublishRequest", stream="foreign" if n == 0 else "", records=[
        api.make("Record", key=b"k", value=f"{n}-{i}".encode(),
                 headers=[api.make("Header", key="h", value=b"x")]) for i in range(10)])
                for n in range(5)]
    answers = list(api.stream("Publish", iter(requests)))
    assert [len(a.results) for a in answers] == [10] * 5
    offsets = [r.offset for a in answers for r in a.results]
    assert offsets == list(range(50)), offsets
    got = []
    call = api.stream("Subscribe", iter([api.make("SubscribeRequest", stream="foreign",
                                                  credit_bytes=1 << 20)]))
    for event in call:
        got += [r.value.decode() for r in event.records.records]
        assert all(r.headers[0].value == b"x" for r in event.records.records)
        if len(got) == 50:
            call.cancel()
            break
    assert got == [f"{n}-{i}" for n in range(5) for i in range(10)]


def test_credit_ends_with_the_client_that_gives_none(broker, api):
    broker.sluice("stream", "create", "credit")
    broker.sluice("produce", "credit", stdin=b"".join(b"x" * 50_000 + b"\n" for _ in range(100)))
    # Half-closed after one request: what the credit allows arrives, then the call ends well.
    events = list(api.stream("Subscribe", iter([api.make(
        "SubscribeRequest", stream="credit", credit_bytes=100_000)])))
    count = sum(len(e.records.records) for e in events)
    assert 1 <= count < 100, count


def test_errors_name_what_is_wrong(broker, api):
    for method, request, code, words in (
            ("Publish", api.make("PublishRequest", stream="nope"), "NOT_FOUND", "'nope'"),
            ("Publish", api.make("PublishRequest"), "INVALID_ARGUMENT", "name its stream"),
            ("Subscribe", api.make("SubscribeRequest", stream="nope"), "NOT_FOUND", "'nope'"),
            ("Subscribe", api.make("SubscribeRequest", stream="foreign", positions=[
                api.make("ShardPosition", shard=0, offset=10**9)]), "OUT_OF_RANGE", "it has 0..")):
        try:
            list(api.stream(method, iter([request])))
            raise AssertionError(f"{method} {code}: no error")
        except grpc.RpcError as error:
            assert error.code().name == code and words in error.details(), error


def test_command_line_round_trip(broker, api):
    broker.sluice("stream", "create", "lines", "--partitions", "3", "--retention", "12h")
    sent = keyed(5000, 40)
    assert broker.sluice("produce", "lines", "--key-separator", "TAB", stdin=sent) == \
        "5000 records stored\n"
    got = broker.sluice("consume", "lines", "--from-beginning", "--until-end")
    assert sorted(got.splitlines()) == sorted(sent.decode().splitlines())
    read = records(broker.sluice("consume", "lines", "--until-end", "-o", "json"))
    assert check_order(read) == set(range(1, 5001))
    assert len(broker.sluice("consume", "lines", "--until-end", "--max", "7").splitlines()) == 7
    described = json.loads(broker.sluice("stream", "describe", "lines", "-o", "json"))
    assert described["retentionMs"] == 12 * 3600 * 1000
    assert sum(s["highWatermark"] for s in described["shards"]) == 5000
    broker.sluice("stream", "update", "lines", "--retention", "1d")
    described = json.loads(broker.sluice("stream", "describe", "lines", "-o", "json"))
    assert described["retentionMs"] == 24 * 3600 * 1000


def test_bytes_that_are_no_text(broker, api):
    broker.sluice("stream", "create", "bytes")
    broker.sluice("produce", "bytes", "--key", "k", stdin=b"\xff\xfe\n")
    (record,) = records(broker.sluice("consume", "bytes", "--until-end", "-o", "json"))
    assert record["value_base64"] == "//4=" and record["key"] == "k", record


def test_wrong_command_lines(broker, api):
    assert "--help" in broker.sluice("produce", status=2)
    assert "'nope'" in broker.sluice("produce", "nope", stdin=b"x\n", status=1)
    assert "--yes" in broker.sluice("stream", "delete", "lines", stdin=b"", status=1)
    assert "too large" in broker.sluice("stream", "create", "x", "--max-record-bytes", "9GiB",
                                        status=1)
    large = broker.sluice("produce", "bytes", stdin=b"x" * (2 << 20) + b"\n", status=1)
    assert "TOO_LARGE" in large, large
    for words in ([], ["stream"], ["stream", "create"], ["bench", "produce"]):
        out = broker.sluice(*words, "--help")
        assert "sluice" in out and "Examples" in out, out


def test_order_through_splits_and_merges(broker, api):
    broker.sluice("stream", "create", "elastic", "--mode", "elastic", "--max-shards", "8")
    reader = subprocess.Popen(broker.command("consume", "elastic", "--from-beginning", "--max",
                                             "60000", "-o", "json"), stdout=subprocess.PIPE)
    writer = subprocess.Popen(broker.command("produce", "elastic", "--key-separator", "TAB"),
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    lines = keyed(60_000, 500).splitlines(keepends=True)
    actions = [("split", "elastic", "0"), ("split", "elastic", "1", "--into", "3"),
               ("merge", "elastic", "4", "5")]
    for n in range(20):
        writer.stdin.write(b"".join(lines[n * 3000:(n + 1) * 3000]))
        writer.stdin.flush()
        time.sleep(0.05)
        if n % 6 == 3:
            broker.sluice("shard", *actions[n // 6])
    out, _ = writer.communicate(timeout=60)
    assert out == b"60000 records stored\n", out
    out, _ = reader.communicate(timeout=60)
    read = records(out.decode())
    assert len(read) == 60_000 and check_order(read) == set(range(1, 60_001))
    assert len({record["shard"] for record in read}) > 4


def test_kill_under_load(broker, api):
    broker.sluice("stream", "create", "killed", "--partitions", "3")
    writer = subprocess.Popen(broker.command("produce", "killed", "--key-separator", "TAB"),
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    lines = keyed(30_000, 100).splitlines(keepends=True)
    for n in range(10):
        writer.stdin.write(b"".join(lines[n * 3000:(n + 1) * 3000]))
        writer.stdin.flush()
        time.sleep(0.03)
        if n in (3, 7):
            broker.end(signal.SIGKILL)
            broker.start()
    out, err = writer.communicate(timeout=90)
    assert writer.returncode == 0 and out == b"30000 records stored\n", (out, err)
    # What had no answer was sent again: a key's values may repeat from there, and none is missing.
    read = records(broker.sluice("consume", "killed", "--until-end", "-o", "json"))
    assert {int(record["value"]) for record in read} == set(range(1, 30_001))
    first = collections.defaultdict(list)
    seen = set()
    for record in read:
        if record["value"] not in seen:
            seen.add(record["value"])
            first[record["key"]].append(int(record["value"]))
    assert all(values == sorted(values) for values in first.values())


def test_bench_and_metrics(broker, api):
    broker.sluice("stream", "create", "bench")
    out = json.loads(broker.sluice("bench", "produce", "bench", "--rate-bytes", "1MiB", "--seconds",
                                   "2", "-o", "json"))
    assert out["failed"] == 0 and 1500 <= out["records"] <= 2500, out
    import urllib.request
    page = urllib.request.urlopen(f"http://127.0.0.1:{broker.ports['metrics']}/metrics").read()
    assert re.search(rb'sluice_grpc_requests_total\{code="OK",method="Publish"\} [1-9]', page)


def test_cluster_status_and_deletion(broker, api):
    status = json.loads(broker.sluice("cluster", "status", "-o", "json"))
    assert [b["state"] for b in status["brokers"]] == ["up"]
    assert status["leaderlessShards"] == [] == status["underReplicatedShards"]
    before = broker.sluice("stream", "list")
    broker.sluice("stream", "delete", "bench", "--yes")
    assert "bench" in before and "bench" not in broker.sluice("stream", "list")


def test_a_stop_ends_open_calls(broker, api):
    call = Api(broker.address).stream("Subscribe", iter([api.make(
        "SubscribeRequest", stream="lines", credit_bytes=1 << 30)]), timeout=60)
    next(call)
    began = time.monotonic()
    assert broker.end(signal.SIGTERM) == 0
    assert time.monotonic() - began < 10
    try:
        for _ in call:
            pass
        raise AssertionError("the call ended well")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.UNAVAILABLE, error
        assert "stopping" in error.details(), error
    broker.start()
    assert len(broker.sluice("consume", "lines", "--until-end").splitlines()) == 5000


def main():
    wanted = sys.argv[1:]
    broker = Broker()
    api = Api(broker.address)
    passed = failed = 0
    for name, test in [(n, t) for n, t in globals().items() if n.startswith("test_")]:
        if wanted and not any(word in name for word in wanted):
            continue
        began = time.monotonic()
        try:
            test(broker, api)
            passed += 1
            print(f"ok   {name} ({time.monotonic() - began:.1f}s)", flush=True)
        except Exception:
            failed += 1
            print(f"FAIL {name} ({time.monotonic() - began:.1f}s)", flush=True)
            traceback.print_exc(limit=4)
    broker.end(signal.SIGKILL)
    if failed:
        print(f"the broker's log: {broker.dir}/log")
    else:
        shutil.rmtree(broker.dir)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
