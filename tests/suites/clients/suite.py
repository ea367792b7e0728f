"""Runs the tests of franz-go, sarama and rskafka against Sluice. Passes when every test ends as expected.txt says (default:
passed, or skipped by itself). See run."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
WORK = pathlib.Path(os.environ["SUITE_DIR"])
BIN = pathlib.Path(os.environ["SLUICE_BIN"])
LIMIT_S = 1800
ENDED = re.compile(r"^--- (PASS|FAIL|SKIP): (\S+) ", re.M)  # Go's
RUST_ENDED = re.compile(r"^test (\S+) (?:- should panic )?\.\.\. (ok|FAILED|ignored)", re.M)
RUST_OUTCOMES = {"ok": "PASS", "FAILED": "FAIL", "ignored": "SKIP"}


def wait_for(url, seconds=60):
    end = time.monotonic() + seconds
    while True:
        try:
            if urllib.request.urlopen(url, timeout=2).status == 200:
                return
        except OSError:
            if time.monotonic() > end:
                raise
        time.sleep(0.1)


class Processes:
    """What a suite needs beside its tests; all of it ends with the `with` block."""
    def __init__(self, name):
        self.dir = WORK / f"brokers-{name}"
        shutil.rmtree(self.dir, ignore_errors=True)
        self.children = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # Brokers that the tests have started again are not our children.
        for pid in [int(file.read_text()) for file in self.dir.glob("*/pid")]:
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                pass
        for child in self.children:
            child.wait(60)

    def start(self, name, *command):
        """Runs `command` from a script that writes its pid, with which the test's docker starts it again."""
        folder = self.dir / name
        (folder / "data").mkdir(parents=True)
        script = folder / "start"
        words = " ".join(f"'{word}'" for word in command)
        script.write_text(f"#!/bin/sh\necho $$ >{folder}/pid\nexec {words}\n")
        script.chmod(0o755)
        log = open(folder / "log", "w")
        self.children.append(subprocess.Popen([script], stdout=log, stderr=log, start_new_session=True))
        return folder


def go_test(name, *arguments):
    return [WORK / f"{name}.test", "-test.v", f"-test.timeout={LIMIT_S}s", *arguments]


def franz_go(processes):
    processes.start("broker", BIN / "sluice-broker", "--dev", "--data", processes.dir / "broker/data", "--kafka",
                    "127.0.0.1:9092", "--grpc", "127.0.0.1:0", "--metrics", "127.0.0.1:9644", "--kinesis", "127.0.0.1:0")
    wait_for("http://127.0.0.1:9644/readyz")
    # Without transactions and share groups, which come later.
    skipped = "TestTxnEtl|TestShareGroup$|TestShareGroupETL|Fuzz"
    return (WORK / "franz-go/pkg/kgo", go_test("franz-go", "-test.skip", skipped),
            {"KGO_SEEDS": "127.0.0.1:9092", "KGO_TEST_RF": "1", "KGO_TEST_RECORDS": "50000", "KGO_LOG_LEVEL": "none"})


def cluster(processes, name, brokers, *flags):
    """A coordinator and `brokers`, each a zone of its own, for clients at 9090 + its number; flags of one may hold {i}."""
    processes.start("coordinator", BIN / "sluice-operator", "coordinator", "--cluster", name, "--brokers",
                    max(brokers) + 1, "--metadata", f"file:{processes.dir}/coordinator/data",
                    "--listen", "127.0.0.1:7000", "--http", "127.0.0.1:7001")
    wait_for("http://127.0.0.1:7001/readyz")
    for i in brokers:
        processes.start(f"broker-{i}", BIN / "sluice-broker", "--cluster", name, "--broker-id", i, "--zone", i,
                        "--data", processes.dir / f"broker-{i}/data", "--coordinator", "127.0.0.1:7000",
                        "--advertise", "127.0.0.1", "--kafka", f"127.0.0.1:909{i}",
                        "--grpc", f"127.0.0.1:929{i}", "--replication", f"127.0.0.1:939{i}",
                        "--metrics", f"127.0.0.1:949{i}", "--kinesis", f"127.0.0.1:959{i}", "--kinesis-any-key",
                        "--group-initial-rebalance-delay-ms", "0", "--auto-create-topics=false",
                        *(flag.format(i=i) for flag in flags))
    for i in brokers:
        wait_for(f"http://127.0.0.1:949{i}/readyz")


def sarama(processes):
    """Five brokers, 1 to 5; clients come through toxiproxy at 29091 to 29095."""
    processes.start("toxiproxy", WORK / "toxiproxy/server", "-port", "8474")
    cluster(processes, "sarama", range(1, 6),
            "--kafka-listeners", "proxied=127.0.0.1:919{i};advertise=127.0.0.1:2909{i}")
    wait_for("http://127.0.0.1:8474/version")
    for i in range(1, 6):
        proxy = {"name": f"kafka{i}", "listen": f"127.0.0.1:2909{i}", "upstream": f"127.0.0.1:919{i}", "enabled": True}
        urllib.request.urlopen("http://127.0.0.1:8474/proxies", json.dumps(proxy).encode())
    functional = sorted(set(re.findall(r"^func (Test\w+)", "".join(
        file.read_text() for file in (WORK / "sarama").glob("functional_*_test.go")), re.M)))
    path = WORK / "path"
    path.mkdir(exist_ok=True)
    shutil.copy(HERE / "docker", path / "docker")
    return (WORK / "sarama", go_test("sarama", "-test.run", f"^({'|'.join(functional)})$", "-test.skip", "Txn"),
            {"TOXIPROXY_ADDR": "http://127.0.0.1:8474", "KAFKA_VERSION": "4.3.1", "BROKERS": str(processes.dir),
             "PATH": f"{path}:{os.environ['PATH']}"})


def rskafka(processes):
    """Three brokers. A program for each of its files of tests."""
    cluster(processes, "rskafka", range(1, 4))
    return (WORK / "rskafka", ["sh", "-c", "failed=0; for program do \"$program\" || failed=1; done; exit $failed", "rskafka",
                               *sorted((WORK / "rskafka.test").iterdir())],
            {"TEST_INTEGRATION": "1", "TEST_BROKER_IMPL": "kafka", "KAFKA_CONNECT": "127.0.0.1:9091"})


SUITES = {"franz-go": franz_go, "sarama": sarama, "rskafka": rskafka}


def outcomes(name):
    """{test: PASS, FAIL or SKIP}; the log has what the tests printed."""
    log = WORK / f"{name}.log"
    with Processes(name) as processes:
        folder, command, env = SUITES[name](processes)
        with open(log, "w") as to:
            done = subprocess.run(command, cwd=folder, env=os.environ | env, stdout=to, stderr=to, timeout=LIMIT_S + 60)
    text = log.read_text(errors="replace")
    ended = {test: outcome for outcome, test in ENDED.findall(text)}
    ended |= {test: RUST_OUTCOMES[outcome] for test, outcome in RUST_ENDED.findall(text)}
    if done.returncode != 0 and "FAIL" not in ended.values() or not ended:
        ended["(the program)"] = "FAIL"
    for test in re.findall(r"^=== RUN   ([^/\s]+)$", text, re.M):
        ended.setdefault(test, "FAIL")  # it never ended
    return ended


def main():
    expected = {}
    for line in (HERE / "expected.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            head, _, reason = line.partition(" :: ")
            expected[tuple(head.split())] = reason
    passed = failed = 0
    for name in sys.argv[1:] or SUITES:
        ended = outcomes(name)
        for test, outcome in sorted(ended.items()):
            reason = expected.get((name, test))
            fine = (outcome == "FAIL") == (reason is not None)
            passed, failed = passed + fine, failed + (not fine)
            if not fine or outcome != "PASS":
                print(f"{'ok  ' if fine else 'FAIL'} {name} {test}: {outcome}" + (f" (expected: {reason})" if reason else ""))
        counts = {o: list(ended.values()).count(o) for o in ("PASS", "SKIP", "FAIL")}
        print(f"{name}: {counts['PASS']} passed, {counts['SKIP']} skipped, {counts['FAIL']} failed; log: {WORK / name}.log",
              flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
