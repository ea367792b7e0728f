"""Three real brokers on loopback under a steady load, and a real Prometheus that scrapes them: every query
that operator/autoscale/README.md and the samples show returns data. Used by autoscale_test.py, which runs the gtest
program on the same brokers."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[3]
BIN = pathlib.Path(os.environ.get("SLUICE_BIN", ROOT / "build/release/bin"))
LABELS = {"namespace": "default", "app_kubernetes_io_instance": "quickstart"}


class Cluster:
    """Brokers with a topic that a publisher at each broker loads, and an elastic stream with one key."""

    def __init__(self):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="sluice-autoscale-"))
        self.load = []

    def __enter__(self):
        try:
            said = self.loopback("up")
            known = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
            self.metrics, self.brokers = known["METRICS"].split(","), known["GRPC"].split(",")
            self.sluice("stream", "create", "clicks", "--partitions", "6", "--replication", "3")
            self.sluice("stream", "create", "one-key", "--mode", "elastic", "--shards", "1")
            for broker in self.brokers:
                self.publish(broker, "clicks", "1000")
            self.publish(self.brokers[0], "one-key", "1")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in self.load:
            process.kill()
            process.wait()
        self.loopback("down")
        shutil.rmtree(self.home)

    def loopback(self, what):
        done = subprocess.run([ROOT / "deploy/loopback", what, self.home / "cluster"], capture_output=True,
                              text=True, timeout=300, env={**os.environ, "SLUICE_BIN": str(BIN)})
        assert done.returncode == 0, done.stderr
        return done.stdout

    def sluice(self, *args):
        done = subprocess.run([BIN / "sluice", *args, "--broker", self.brokers[0]], capture_output=True,
                              text=True, timeout=120)
        assert done.returncode == 0, f"{args}: {done.stderr}"
        return done.stdout

    def publish(self, broker, stream, keys):
        self.load.append(subprocess.Popen(
            [BIN / "sluice", "bench", "produce", stream, "--rate-bytes", "128KiB", "--record-bytes", "512",
             "--keys", keys, "--seconds", "3600", "--broker", broker], stdout=subprocess.DEVNULL))

    def environment(self):
        return {**os.environ, "SLUICE_BIN": str(BIN), "SLUICE_TEST_METRICS": ",".join(self.metrics),
                "SLUICE_TEST_BROKERS": ",".join(self.brokers)}


@contextlib.contextmanager
def prometheus(targets, port):
    """Its URL; it scrapes the targets every second, with the labels of the samples' Prometheus."""
    home = pathlib.Path(tempfile.mkdtemp(prefix="sluice-prometheus-"))
    config = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": [
        {"job_name": "sluice-brokers", "static_configs": [{"targets": targets, "labels": LABELS}]}]}
    (home / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    with open(home / "log", "w") as log:
        process = subprocess.Popen(
            ["prometheus", f"--config.file={home}/prometheus.yml", f"--storage.tsdb.path={home}/data",
             f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(home)


def documented():
    """What README.md and the samples show, by where: PromQL, with the operator's names and the adapter's filled in."""
    text = (ROOT / "operator/autoscale/README.md").read_text()
    matchers = ",".join(f'{name}="{value}"' for name, value in LABELS.items())
    queries = {}
    signals = text[text.index("## Signals"):text.index("## The trace simulator")]
    for name, query in re.findall(r"^\| `(\w+)` \| `(.*?)`[ ,|]", signals, re.M):
        queries[f"signal {name}"] = query.replace("{…}", "{" + matchers + "}")
    # There it is a number, as the text beside it says.
    queries["signal brokers"] = queries["signal brokers"].replace("$window", "5")
    config, _ = yaml.safe_load_all((ROOT / "deploy/samples/prometheus-adapter.yaml").read_text())
    [rule] = yaml.safe_load(config["data"]["config.yaml"])["externalRules"]
    queries["prometheus-adapter's metric"] = rule["metricsQuery"].replace("<<.LabelMatchers>>", matchers)
    queries["prometheus-adapter's series"] = rule["seriesQuery"]
    scaled = yaml.safe_load((ROOT / "deploy/samples/keda.yaml").read_text())
    queries["KEDA"] = scaled["spec"]["triggers"][0]["metadata"]["query"]
    [others] = re.findall(r"What else serves as an external metric: (.*?)\. ", text)
    for name in re.findall(r"`(\w+)`", others):
        queries[f"metric {name}"] = name + "{" + matchers + "}"
    for name, value in {"$namespace": "default", "$cluster": "quickstart", "$window": "5s"}.items():
        queries = {where: query.replace(name, value) for where, query in queries.items()}
    return queries


def ask(url, query):
    with urllib.request.urlopen(f"{url}/api/v1/query?" + urllib.parse.urlencode({"query": query}),
                                timeout=10) as answer:
        return json.load(answer)["data"]["result"]


def without_a_broker_nothing(query, url):
    """A sum over the brokers that can be read is too low: an autoscaler would remove one more."""
    guard = query.index(" unless ")
    assert ask(url, query[:guard]), f"no data at all: {query[:guard]}"
    assert not ask(url, query), query


def every_documented_query_returns_data(cluster, port, blind_port):
    """And of a Prometheus that cannot read one of its targets, those that brokers are scaled by return nothing."""
    queries = documented()
    assert len(queries) >= 18, queries
    # The operator's own are not there without a Kubernetes: that they are its names is all that is seen.
    exported = "".join(path.read_text() for path in (ROOT / "operator/reconcile").glob("*.cc"))
    for where in [where for where in queries if "sluice_autoscale_" in where]:
        name = queries.pop(where).split("{")[0]
        assert f'"{name}"' in exported, name
    cluster.sluice("group", "reset-offsets", "shop", "--stream", "clicks", "--to", "earliest")
    with prometheus(cluster.metrics, port) as url, \
            prometheus([*cluster.metrics, "127.0.0.1:9"], blind_port) as blind:
        deadline, missing = time.monotonic() + 120, dict(queries)  # ends a hung test
        while missing:
            assert time.monotonic() < deadline, f"no data: {missing}"
            time.sleep(0.2)
            with contextlib.suppress(OSError):
                missing = {where: query for where, query in missing.items() if not ask(url, query)}
        adapter = ask(url, queries["prometheus-adapter's metric"])
        assert len(adapter) == 1, adapter
        # The label by which the sample's HorizontalPodAutoscaler picks its cluster.
        assert adapter[0]["metric"] == {"app_kubernetes_io_instance": "quickstart"}, adapter
        used, brokers = float(adapter[0]["value"][1]), len(cluster.metrics)
        assert 0 < used <= brokers, used
        for where in ("prometheus-adapter's metric", "KEDA"):
            without_a_broker_nothing(queries[where], blind)
        [count] = ask(url, queries["signal brokers"])
        assert float(count["value"][1]) == brokers, count
    return f"{len(queries)} queries"
