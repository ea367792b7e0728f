"""Runs librdkafka's tests one by one, each in a process of its own, and compares how they end with Sluice and with
Apache Kafka. Passes when every test ends as expected.txt says (default: passed with both). See run."""
import argparse
import os
import pathlib
import shlex
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "bench"))
import clusters  # noqa: E402  (Sluice and Apache Kafka on loopback)

WORK = pathlib.Path(os.environ["SUITE_DIR"])
TESTS = WORK / "package/deps/librdkafka/tests"
LIMIT_S = 300
# What the suite asks of a cluster (its README): topics that are made by asking have four partitions.
PARTITIONS = 4


class Sluice(clusters.Sluice):
    def up(self):
        self.dir.mkdir(parents=True, exist_ok=True)
        (self.dir / "broker.yaml").write_text(f"num-partitions: {PARTITIONS}\n")
        super().up()


class Kafka(clusters.Kafka):
    settings = [f"num.partitions={PARTITIONS}", "default.replication.factor=3",
                "transaction.state.log.replication.factor=3", "transaction.state.log.min.isr=2",
                "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                "allow.everyone.if.no.acl.found=true", "super.users=User:ANONYMOUS"]


def local(name):
    """Tests that never talk to the cluster: unit tests, and those against librdkafka's own mock."""
    return "_mock" in name or name[:4] in ("0000", "0025", "0037", "0043", "0058", "0059", "0072", "0080", "0104", "0136",
                                           "0151", "8000", "8001")


def all_tests():
    names = sorted(f.stem for f in TESTS.iterdir() if f.suffix in (".c", ".cpp") and f.name[:4].isdigit())
    return [name for name in names if not local(name)]


def tools(kafka):
    """Kafka's scripts by the names that the tests call, for both systems."""
    folder = WORK / "kafka/bin"
    folder.mkdir(parents=True, exist_ok=True)
    for script, tool in (("kafka-topics.sh", "org.apache.kafka.tools.TopicCommand"),
                         ("kafka-acls.sh", "org.apache.kafka.tools.AclCommand")):
        path = folder / script
        command = " ".join(shlex.quote(str(word)) for word in kafka.java("256m"))
        path.write_text(f'#!/bin/sh\nexec {command} {tool} "$@"\n')
        path.chmod(0o755)
    return folder.parent


def run(test, cluster, kafka_path, out):
    """passed, failed, skipped or 'timed out', and the first failure's words."""
    conf = out / "test.conf"
    conf.write_text(f"metadata.broker.list={cluster.servers}\n")
    log = out / f"{test}.log"
    env = dict(os.environ, TESTS=test[:4], RDKAFKA_TEST_CONF=str(conf), TEST_KAFKA_VERSION="4.0.0", BROKERS=cluster.servers,
               KAFKA_PATH=str(kafka_path), LD_LIBRARY_PATH=f"{TESTS.parent}/src:{TESTS.parent}/src-cpp")
    with open(log, "wb") as to:
        child = subprocess.Popen(["./test-runner", "-p1", "-Q", "-E"], cwd=TESTS, env=env, stdout=to, stderr=to,
                                 start_new_session=True)
        try:
            child.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, 9)
            child.wait()
    text = log.read_text(errors="replace").splitlines()
    why = ""
    for at, line in enumerate(text):
        if line.startswith("### Test") or "### Test \"" in line:
            why = text[at + 1].strip() if at + 1 < len(text) else ""
            break
    summary = [line for line in text if f" {test[:4]}_" in line and line.startswith("|")]
    if child.returncode == 0:
        skipped = summary and all("SKIPPED" in line for line in summary)
        return ("skipped" if skipped else "passed"), ""
    return "failed", why[:150] or f"ended with {child.returncode}"


def expectations():
    """{(system, test): (outcome, reason)} of expected.txt: `SYSTEM TEST OUTCOME :: reason`."""
    found = {}
    for line in (HERE / "expected.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            head, _, reason = line.partition(" :: ")
            system, test, outcome = head.split()
            found[system, test] = outcome, reason
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--systems", default="sluice,kafka")
    parser.add_argument("tests", nargs="*")
    asked = parser.parse_args()
    chosen = [t for t in all_tests() if not asked.tests or t[:4] in asked.tests]
    kafka = Kafka(WORK / "work", 3)
    kafka.fetch()
    kafka_path = tools(kafka)
    expected = expectations()
    passed = failed = 0
    outcomes = {}
    systems = asked.systems.split(",")
    for system in systems:
        cluster = kafka if system == "kafka" else Sluice(WORK / "work", 3)
        cluster.wipe()
        out = WORK / f"logs-{system}"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        if system == "kafka":
            kafka.java("256m")  # its folder and logging
        cluster.up()
        try:
            for test in chosen:
                outcome, why = run(test, cluster, kafka_path, out)
                outcomes[system, test] = outcome
                want, reason = expected.get((system, test[:4]), ("passed", ""))
                fine = outcome == want or outcome == "skipped"
                passed, failed = passed + fine, failed + (not fine)
                print(f"{'ok  ' if fine else 'FAIL'} {system} {test}: {outcome} {why}"
                      + (f" (expected: {reason})" if fine and reason else ""), flush=True)
        finally:
            cluster.down()
    for system in systems:
        counts = {o: sum(1 for (s, _), got in outcomes.items() if s == system and got == o)
                  for o in ("passed", "skipped", "failed")}
        print(f"{system}: " + ", ".join(f"{n} {o}" for o, n in counts.items()))
    print(f"{passed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
