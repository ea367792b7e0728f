"""`sluice autoscale` and `sluice why` as a user runs them, on two real traces of the npm package
vega-datasets: pushes to GitHub by the hour (data/github.csv) and departures of flights
(data/flights-20k.json), and on made ones. What the simulator says of itself is computed again here
from the schedule that it prints. One line a test; the last line is "N passed, N failed".
"""
import collections
import csv
import http.server
import io
import json
import math
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import traceback
import xml.dom.minidom

import real_brokers

ROOT = pathlib.Path(__file__).resolve().parents[3]
BIN = pathlib.Path(os.environ.get("SLUICE_BIN", ROOT / "build/release/bin"))
WORK = ROOT / "build/tests/autoscale"
PACKAGE = "vega-datasets@3.2.1"
MIB = 1 << 20


def sluice(*args, stdin=None, code=0):
    done = subprocess.run([BIN / "sluice", *map(str, args)], input=stdin, capture_output=True,
                          text=True, timeout=120)
    assert done.returncode == code, f"{args}: exit {done.returncode}\n{done.stderr}"
    return done.stdout if code == 0 else done.stderr


def package_file(name):
    archive = WORK / "vega-datasets.tgz"
    if not archive.exists():
        WORK.mkdir(parents=True, exist_ok=True)
        packed = subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=WORK, check=True,
                                capture_output=True, text=True, timeout=600).stdout.strip()
        (WORK / packed.splitlines()[-1]).rename(archive)
    with tarfile.open(archive) as tar:
        return tar.extractfile(f"package/data/{name}").read().decode()


def as_trace(counts, step_s, peak_mib):
    """Counts by period as a trace whose highest sample is `peak_mib` a second."""
    top = max(counts)
    lines = ["time_s,bytes_per_s,records_per_s"]
    for i, count in enumerate(counts):
        rate = count / top * peak_mib * MIB
        lines.append(f"{i * step_s},{rate:.1f},{rate / 1200:.3f}")
    return "\n".join(lines) + "\n"


def github_trace():
    rows = list(csv.DictReader(io.StringIO(package_file("github.csv"))))
    counts = {}
    for row in rows:
        hour = time.mktime(time.strptime(row["time"][:16].replace("/", "-"), "%Y-%m-%d %H:%M")) // 3600
        counts[hour] = counts.get(hour, 0) + float(row["count"])
    first = min(counts)
    hours = [counts.get(first + i, 0) for i in range(int(max(counts) - first) + 1)]
    return as_trace(hours[:5 * 24], 3600, 24)


def flights_trace():
    by_hour = collections.Counter()
    for flight in json.loads(package_file("flights-20k.json")):
        day = time.strptime(flight["date"][:16].replace("T", " ").replace("/", "-"),
                            "%Y-%m-%d %H:%M")
        by_hour[day.tm_wday * 24 + day.tm_hour] += 1
    return as_trace([by_hour.get(i, 0) for i in range(5 * 24)], 3600, 24)


def simulate(trace, policy="", *extra):
    path = WORK / "policy.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(policy)
    return json.loads(sluice("autoscale", "simulate", "-", "--policy", path, "-o", "json", *extra,
                             stdin=trace))


def computed_again(trace, result):
    samples = [{k: float(v) for k, v in row.items() if v}
               for row in csv.DictReader(io.StringIO(trace))]
    end = 2 * samples[-1]["time_s"] - samples[-2]["time_s"]
    schedule = result["schedule"]
    short = total = least = 0.0
    for i, sample in enumerate(samples):
        until = samples[i + 1]["time_s"] if i + 1 < len(samples) else end
        need = max(sample["bytes_per_s"] / MIB, sample["records_per_s"] / 1000)
        hot = min(1.0, need * sample.get("hot_key_share", 0))
        rest = need * (1 - sample.get("hot_key_share", 0))
        seconds = until - sample["time_s"]
        total += need * seconds
        least += max(1, math.ceil(rest + hot - 1e-9)) * seconds
        for k, (begin, shards) in enumerate(schedule):
            ends = schedule[k + 1][0] if k + 1 < len(schedule) else end
            overlap = min(until, ends) - max(sample["time_s"], begin)
            if overlap > 0:
                lost = max(0, rest - (shards - hot)) + max(0, need - rest - 1)
                short += lost * overlap
    hours = sum(((schedule[k + 1][0] if k + 1 < len(schedule) else end) - begin) * shards
                for k, (begin, shards) in enumerate(schedule)) / 3600
    return short / total, hours, least / 3600


def check(trace, result, ratio):
    throttled, hours, least = computed_again(trace, result)
    assert math.isclose(throttled, result["throttled_ratio"], abs_tol=1e-9), throttled
    assert math.isclose(hours, result["shard_hours"], rel_tol=1e-6), hours
    assert math.isclose(least, result["clairvoyant_shard_hours"], rel_tol=1e-6), least
    assert result["max_shards"] == max(n for _, n in result["schedule"])
    assert throttled <= 0.001, throttled
    assert hours <= ratio * least, hours / least
    assert hours < result["on_demand_shard_hours"]
    return (f"throttled {throttled:.5%}, {hours / least:.2f} of the least shard-hours "
            f"(on-demand {result['on_demand_shard_hours'] / least:.2f}), "
            f"{result['actions'] / hours:.2f} actions per shard and hour")


def test_github_pushes():
    trace = github_trace()  # jumps every hour, up and down
    return check(trace, simulate(trace), 1.25)


def test_flight_departures():
    trace = flights_trace()
    return check(trace, simulate(trace), 1.25)


def test_made_traces():
    said = []
    for kind in ("daily", "steps", "mixed"):
        trace = sluice("autoscale", "generate", kind, "--seed", 4242, "--duration", "8h",
                       "--noise", "0.02")
        said.append(f"{kind}: {check(trace, simulate(trace), 1.3)}")
    return "; ".join(said)


def test_policy_is_obeyed_and_checked():
    trace = sluice("autoscale", "generate", "steps", "--duration", "2h")
    assert simulate(trace, "maxShards: 6\n")["max_shards"] <= 6
    assert simulate(trace, "mode: Frozen\n")["actions"] == 0
    result = simulate(trace, "minShards: 9\n", "--decisions")
    assert min(n for _, n in result["schedule"]) >= 9
    assert all(d["inputs"] and d["reason"] for d in result["decisions"])
    bad = WORK / "bad.yaml"
    bad.write_text("maxShard: 6\n")
    said = sluice("autoscale", "simulate", "-", "--policy", bad, stdin=trace, code=1)
    assert "maxShard" in said, said


def test_why_and_plot_read_a_status():
    decisions = [
        {"time": "2026-01-01T00:05:00Z", "action": "Merge", "shards": [1, 2], "reason": "ShardsCold",
         "message": "2 shards <become> 1", "inputs": {"openShards": "2", "shardsNeeded": "0.9"}},
        {"time": "2026-01-01T00:00:00Z", "action": "Split", "shards": [0], "reason": "ShardHot",
         "message": "shard 0 is at 130%", "inputs": {"openShards": "1", "shardsNeeded": "1.5"}}]
    stream = {"kind": "Stream", "metadata": {"name": "c"}, "spec": {"name": "clicks"},
              "status": {"openShards": 1, "decisions": decisions, "conditions": [
                  {"type": "MetricsAvailable", "status": "True", "reason": "Fresh",
                   "message": "every broker's load is known"}]}}
    text = sluice("why", "clicks", "--file", "-", stdin=json.dumps({"items": [stream]}))
    assert "ShardsCold" in text and "shardsNeeded=0.9" in text and "MetricsAvailable=True" in text
    svg = sluice("autoscale", "plot", "c", "--file", "-", stdin=json.dumps(stream))
    xml.dom.minidom.parseString(svg)
    assert svg.count("ShardHot") == 1
    said = sluice("why", "other", "--file", "-", stdin=json.dumps(stream), code=1)
    assert "there is no Stream 'other'" in said


def test_why_and_plot_read_a_clusters_status():
    def decision(minute, action, reason, brokers, **inputs):
        return {"time": f"2026-01-01T00:{minute:02}:00Z", "action": action, "reason": reason,
                "message": f"so it <is> at {minute}", "inputs": {"brokers": str(brokers), **inputs}}
    decisions = [decision(30, "DrainBroker", "BrokersIdle", 4, brokersNeeded="1.2"),
                 decision(20, "None", "LatencyNotHelped", 4, produceP99Milliseconds="80"),
                 decision(5, "AddBroker", "ProduceSlow", 3, brokersNeeded="2.1", trialLoad="70%"),
                 decision(0, "None", "WithinTarget", 3, lagRecords="1200", lagGroup="shop")]
    cluster = {"kind": "StreamCluster", "metadata": {"name": "c"}, "spec": {"brokers": 3},
               "status": {"brokers": 3, "decisions": decisions, "conditions": []}}
    stream = {"kind": "Stream", "metadata": {"name": "c"}, "spec": {"name": "c"}, "status": {}}
    both = json.dumps({"items": [stream, cluster]})
    text = sluice("why", "cluster/c", "--file", "-", stdin=both)
    assert text.startswith("c: 3 brokers\n"), text
    assert "AddBroker (ProduceSlow)" in text and "trialLoad=70%" in text and "lagGroup=shop" in text
    assert json.loads(sluice("why", "scl/c", "-o", "json", "--file", "-", stdin=both))["brokers"] == 3
    assert "c: 0 open shards" in sluice("why", "c", "--file", "-", stdin=both)
    svg = sluice("autoscale", "plot", "cluster/c", "--file", "-", stdin=both)
    xml.dom.minidom.parseString(svg)
    assert ">brokers</text>" in svg and svg.count("ProduceSlow") == 1 and svg.count("BrokersIdle") == 1, svg
    assert "LatencyNotHelped" not in svg  # nothing was done
    said = sluice("autoscale", "plot", "cluster/d", "--file", "-", stdin=both, code=1)
    assert "there is no StreamCluster 'd'" in said, said


class Pages(http.server.BaseHTTPRequestHandler):
    """The operator's page while a stream and a cluster grow: each third time it is read, a shard more, up
    to four; each fourth, a broker, up to five."""
    reads = 0

    def do_GET(self):
        Pages.reads += 1
        shards = min(4, 1 + Pages.reads // 3)
        labels = '{namespace="apps",cluster="c",stream="clicks"}'
        brokers = min(5, 3 + Pages.reads // 4)
        body = (f"sluice_autoscale_open_shards{labels} {shards}\n"
                f"sluice_autoscale_needed_shards{labels} {shards - 0.5}\n")
        labels = '{namespace="apps",cluster="c"}'
        body += (f"sluice_autoscale_brokers{labels} {brokers}\n"
                 f"sluice_autoscale_needed_brokers{labels} {brokers - 0.5}\n")
        counts = {("None", "WithinTarget"): Pages.reads, ("AddBroker", "BrokersFull"): brokers >= 4,
                  ("AddBroker", "ProduceSlow"): brokers >= 5}
        for (action, reason), count in counts.items():
            if count:  # as counters are: there from the first on
                body += (f'sluice_autoscale_broker_decisions_total{{namespace="apps",cluster="c",'
                         f'action="{action}",reason="{reason}"}} {int(count)}\n')
        body = body.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until(condition, what):
    deadline = time.monotonic() + 120  # ends a hung test, decides nothing
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.1)
    return found


def test_plot_draws_what_a_real_prometheus_has_seen():
    pages = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=pages.serve_forever, daemon=True).start()
    home, port = pathlib.Path(tempfile.mkdtemp(prefix="sluice-plot-")), free_port()
    (home / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n- job_name: operator\n"
        f"  static_configs: [{{targets: ['127.0.0.1:{pages.server_port}'], labels: {{namespace: system}}}}]\n")
    url = f"http://127.0.0.1:{port}"
    with open(home / "log", "w") as log:
        process = subprocess.Popen(
            ["prometheus", f"--config.file={home}/prometheus.yml", f"--storage.tsdb.path={home}/data",
             f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    try:
        def plot():
            done = subprocess.run([BIN / "sluice", "autoscale", "plot", "clicks", "--namespace", "apps",
                                   "--prometheus", url, "--last", "10m"], capture_output=True, text=True)
            return done.stdout if done.returncode == 0 and "3 shards become 4" in done.stdout else None
        svg = wait_until(plot, (home / "log").read_text)
        xml.dom.minidom.parseString(svg)
        assert svg.count("shards become") == 3, svg

        def plot_brokers():
            done = subprocess.run([BIN / "sluice", "autoscale", "plot", "cluster/c", "--namespace", "apps",
                                   "--prometheus", url, "--last", "10m"], capture_output=True, text=True)
            return done.stdout if done.returncode == 0 and "4 brokers become 5" in done.stdout else None
        svg = wait_until(plot_brokers, (home / "log").read_text)
        xml.dom.minidom.parseString(svg)
        assert svg.count("brokers become") == 2, svg
        assert "3 brokers become 4: AddBroker (BrokersFull)" in svg, svg
        assert "4 brokers become 5: AddBroker (ProduceSlow)" in svg, svg
        said = sluice("autoscale", "plot", "cluster/d", "--prometheus", url, code=1)
        assert "sluice_autoscale_brokers" in said and "autoscaling.brokers" in said, said
        said = sluice("autoscale", "plot", "other", "--prometheus", url, code=1)
        assert "does it scrape the operator" in said, said
        said = sluice("autoscale", "plot", "clicks", "--namespace", "elsewhere", "--prometheus", url, code=1)
        assert "sluice_autoscale_open_shards" in said, said
    finally:
        process.kill()
        process.wait()
        pages.shutdown()
        shutil.rmtree(home)
    said = sluice("autoscale", "plot", "clicks", "--prometheus", url, code=1)
    assert "cannot be reached" in said, said
    said = sluice("autoscale", "plot", "clicks", "--prometheus", "prometheus:9090", code=1)
    assert "http://prometheus:9090" in said, said


def test_kubectl_sluice_why():
    """kubectl finds a plugin by its name: a link to sluice called kubectl-sluice."""
    home = pathlib.Path(tempfile.mkdtemp(prefix="sluice-plugin-"))
    try:
        (home / "kubectl-sluice").symlink_to(BIN / "sluice")
        stream = {"kind": "Stream", "metadata": {"name": "c"}, "spec": {"name": "clicks"},
                  "status": {"openShards": 3, "decisions": []}}
        # As kubectl runs it; where there is a kubectl, through it.
        command = ["kubectl", "sluice"] if shutil.which("kubectl") else [home / "kubectl-sluice"]
        done = subprocess.run([*command, "why", "clicks", "--file", "-"], input=json.dumps(stream),
                              env={**os.environ, "PATH": f"{home}:{os.environ['PATH']}"},
                              capture_output=True, text=True)
        assert done.returncode == 0 and "clicks: 3 open shards" in done.stdout, done
    finally:
        shutil.rmtree(home)


def gtest(program, environment=None):
    """Its tests, each a line; how many passed and failed."""
    done = subprocess.run([program], capture_output=True, text=True, timeout=600, env=environment)
    passed = done.stdout.count("[       OK ]")
    failed = done.stdout.count("[  FAILED  ]") and 1
    for line in done.stdout.splitlines():
        if line.startswith(("[       OK ]", "[  FAILED  ]")):
            print(("ok    " if "OK" in line else "FAIL  ") + line[13:], flush=True)
    if failed or done.returncode != 0:
        print(done.stdout, done.stderr)
    return passed, max(failed, int(done.returncode != 0))


def report(name, test):
    """Runs it and prints a line; whether it passed."""
    try:
        said = test()
        print(f"ok    {name}" + (f": {said}" if said else ""), flush=True)
        return True
    except Exception:
        print(f"FAIL  {name}", flush=True)
        traceback.print_exc()
        return False


def with_real_brokers(programs):
    try:
        with real_brokers.Cluster() as cluster:
            good = report("every_documented_query_returns_data",
                          lambda: real_brokers.every_documented_query_returns_data(cluster, free_port(),
                                                                                      free_port()))
            passed, failed = gtest(programs / "autoscale_brokers_test", cluster.environment())
            return passed + good, failed + (not good)
    except Exception:
        print("FAIL  real brokers", flush=True)
        traceback.print_exc()
        return 0, 1


def main():
    passed = failed = 0
    if sys.argv[1:2] == ["--gtest"]:
        programs = pathlib.Path(sys.argv[2])
        passed, failed = gtest(programs / "autoscale_prometheus_test")
        more = with_real_brokers(programs)
        passed, failed = passed + more[0], failed + more[1]
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            good = report(name[5:], test)
            passed, failed = passed + good, failed + (not good)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
