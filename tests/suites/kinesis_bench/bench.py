"""PutRecords and GetRecords of Sluice (one broker, one copy, signatures verified, fsynced) beside
kinesalite (in memory), in one run on one machine: raw HTTP load, then a real SDK.
usage: bench.py LOAD WORK [--seconds N] [--runs N] [--raw]      prints the table of RESULTS.md
The servers take turns: each run is both of them, one after the other, from empty."""
import argparse
import base64
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

HERE = pathlib.Path(__file__).resolve().parent
BIN = pathlib.Path(os.environ.get("SLUICE_BIN") or HERE.parents[2] / "build/release/bin")
KEY, SECRET, REGION = "AKIABENCH", "bench-secret", "eu-west-1"
ENVIRONMENT = {**os.environ, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET,
               "AWS_REGION": REGION}
CONNECTIONS, BATCH = 16, 500


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Server:
    def __init__(self, port):
        self.port = port
        self.endpoint = f"http://127.0.0.1:{port}"
        self.client = boto3.client("kinesis", endpoint_url=self.endpoint, region_name=REGION,
                                   aws_access_key_id=KEY, aws_secret_access_key=SECRET,
                                   config=Config(retries={"max_attempts": 1}))

    def wait(self):
        deadline = time.monotonic() + 60
        while True:
            try:
                return self.client.list_streams()
            except Exception:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=60)


class Sluice(Server):
    """Verifies every signature; `anyone`: any key is good and nothing is verified, as with kinesalite."""
    def __init__(self, limits, anyone=False):
        super().__init__(free_port())
        self.name = "Sluice, any key" if anyone else "Sluice"
        self.limits = limits
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="sluice-bench-"))
        (self.dir / "keys.yaml").write_text(f"- accessKeyId: {KEY}\n  secretAccessKey: {SECRET}\n")
        self.grpc = free_port()
        with open(self.dir / "log", "wb") as log:
            self.process = subprocess.Popen(
                [BIN / "sluice-broker", "--dev", "--data", self.dir / "data",
                 *([] if anyone else ["--kinesis-credentials", self.dir / "keys.yaml"]),
                 "--kinesis", f"127.0.0.1:{self.port}", "--kafka", "127.0.0.1:0",
                 "--grpc", f"127.0.0.1:{self.grpc}", "--metrics", "127.0.0.1:0"],
                stdout=subprocess.DEVNULL, stderr=log)
        self.wait()

    def create(self, name, shards):
        self.client.create_stream(StreamName=name, ShardCount=shards)
        self.client.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1})
        subprocess.run([BIN / "sluice", "--broker", f"127.0.0.1:{self.grpc}", "stream", "update", name,
                        "--limits", self.limits], check=True, stdout=subprocess.DEVNULL)

    def stop(self):
        super().stop()
        shutil.rmtree(self.dir)


class Kinesalite(Server):
    name = "kinesalite"

    def __init__(self, work):
        super().__init__(free_port())
        self.process = subprocess.Popen(
            ["node", work / "node_modules/kinesalite/cli.js", "--port", str(self.port), "--shardLimit",
             "1000", "--createStreamMs", "0"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.wait()

    def create(self, name, shards):
        self.client.create_stream(StreamName=name, ShardCount=shards)
        self.client.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1})


def signed(port, operation, body):
    """A whole request, good for five minutes."""
    url = f"http://127.0.0.1:{port}/"
    request = AWSRequest("POST", url, data=body, headers={
        "Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"Kinesis_20131202.{operation}"})
    SigV4Auth(Credentials(KEY, SECRET), "kinesis", REGION).add_auth(request)
    head = {"Host": f"127.0.0.1:{port}", "Content-Length": str(len(body)), **dict(request.headers)}
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    return f"POST / HTTP/1.1\r\n{lines}\r\n".encode() + body


def put_files(folder, server, stream, shards, size):
    """As many PutRecords as connections, each with BATCH records spread evenly over the shards."""
    files = []
    for number in range(CONNECTIONS):
        entries = []
        for i in range(BATCH):
            shard = (number * BATCH + i) % shards
            entries.append({"Data": base64.b64encode(os.urandom(size)).decode(),
                            "PartitionKey": f"key-{number}-{i}",
                            "ExplicitHashKey": str((shard * 2 + 1) * 2**128 // (shards * 2))})
        path = folder / f"put-{number}"
        path.write_bytes(signed(server.port, "PutRecords", json.dumps(
            {"StreamName": stream, "Records": entries}).encode()))
        files.append(path)
    return files


def get_files(folder, server, stream, shards):
    files = []
    for number in range(shards):
        iterator = server.client.get_shard_iterator(
            StreamName=stream, ShardId=f"shardId-{number:012}", ShardIteratorType="TRIM_HORIZON")
        body = json.dumps({"ShardIterator": iterator["ShardIterator"], "Limit": 1000}).encode()
        path = folder / f"get-{number}"
        path.write_bytes(signed(server.port, "GetRecords", body))
        files.append(path)
    return files


def load(program, server, seconds, rate, files):
    before = server.cpu_seconds()
    done = subprocess.run([program, str(server.port), str(CONNECTIONS), str(seconds), str(rate), *files],
                          check=True, stdout=subprocess.PIPE)
    result = json.loads(done.stdout)
    result["cpu"] = (server.cpu_seconds() - before) / result["seconds"]
    return result


class Rows:
    """What each server made of each load, run after run."""

    def __init__(self):
        self.runs = {}  # (server, load): [(records/s, MiB/s, p50, p99, cores or None, errors)]

    def add(self, server, what, *figures):
        self.runs.setdefault((server.name, what), []).append(figures)
        print(server.name, what, *figures, sep="; ", file=sys.stderr, flush=True)

    def add_raw(self, server, what, result, records, size):
        rate = (result["requests"] - result["errors"]) * records / result["seconds"]
        self.add(server, what, rate, rate * size / 2**20, result["p50_ms"], result["p99_ms"], result["cpu"],
                 result["errors"] + result["partial"])

    def print(self):
        print("| server | load | records/s: min, median, max | MiB/s of data | p50 ms | p99 ms | cores | "
              "µs of a core a record | errors and batches with refusals |")
        print("|---|---|---|---|---|---|---|---|---|")
        for (server, what), runs in self.runs.items():
            rates = [run[0] for run in runs]
            middle = [statistics.median(run[i] for run in runs) for i in range(4)]
            cores = statistics.median(run[4] for run in runs) if runs[0][4] is not None else None
            told = ("", "") if cores is None else (f"{cores:.2f}", f"{cores / middle[0] * 1e6:.2f}")
            print(f"| {server} | {what} | {min(rates):,.0f}, {middle[0]:,.0f}, {max(rates):,.0f} | "
                  f"{middle[1]:,.1f} | {middle[2]:.1f} | {middle[3]:.1f} | {told[0]} | {told[1]} | "
                  f"{sum(run[5] for run in runs)} |")


def raw(program, server, folder, seconds, rows):
    for size, shards, rate in ((10240, 100, 0), (10240, 100, 20.48), (100, 25, 0), (100, 25, 50)):
        if rate and server.name != "Sluice":
            continue
        stream = f"put-{size}-{shards}-{int(rate)}"
        server.create(stream, shards)
        files = put_files(folder, server, stream, shards, size)
        result = load(program, server, seconds, rate, files)
        pace = "as fast as it goes" if not rate else f"paced at {rate * BATCH:,.0f} records/s"
        rows.add_raw(server, f"PutRecords, {BATCH} × {size:,} B, {shards} shards, {pace}", result, BATCH, size)
    # 1,000 records of each of 25 shards, again and again.
    files = get_files(folder, server, "put-100-25-0", 25)
    result = load(program, server, seconds, 0, files)
    rows.add_raw(server, "GetRecords, 1,000 × 100 B, 25 shards", result, 1000, 100)


def sdk(server, work, seconds, rows):
    server.create("sdk", 25)
    done = subprocess.run(["node", work / "sdk.mjs", server.endpoint, "sdk", str(BATCH), "1024", str(seconds)],
                          cwd=work, env={**ENVIRONMENT},
                          check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for what, result in json.loads(done.stdout).items():
        rows.add(server, f"SDK for JavaScript, {what}, 500 × 1,024 B, 25 shards", result["records_per_s"],
                 result["records_per_s"] / 1024, result["p50_ms"], result["p99_ms"], None, result["failed"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("load")
    parser.add_argument("work", type=pathlib.Path)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--raw", action="store_true", help="without the SDK")
    options = parser.parse_args()
    rows = Rows()
    for _ in range(options.runs):
        for make in (lambda: Sluice("none"), lambda: Sluice("none", anyone=True), lambda: Kinesalite(options.work)):
            with tempfile.TemporaryDirectory() as folder:
                server = make()
                try:
                    raw(options.load, server, pathlib.Path(folder), options.seconds, rows)
                    if not options.raw and server.name != "Sluice, any key":
                        sdk(server, options.work, options.seconds, rows)
                finally:
                    server.stop()
    rows.print()
    print(f"\nLoad average at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.")


if __name__ == "__main__":
    sys.exit(main())
