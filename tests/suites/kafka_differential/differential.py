"""Runs Probes.java against Apache Kafka (one node, from Maven Central) and against Sluice (one broker), and
compares the answers, field by field. See run."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
BUILD = ROOT / "build/tests/kafka_differential"
BIN = pathlib.Path(os.environ.get("SLUICE_BIN", ROOT / "build/release/bin"))
POM = ROOT / "tests/integration/kafka_clients/java/pom.xml"
LOGGING = ROOT / "tests/integration/kafka_clients/java/log4j2.xml"


def sh(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{command[0]} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout


def prepare():
    libs = BUILD / "libs"
    if not libs.exists():
        sh("mvn", "-q", "-B", "-ntp", "-f", POM, "dependency:copy-dependencies", f"-DoutputDirectory={libs}")
    sh("javac", "-cp", f"{libs}/*", "-d", BUILD, HERE / "Probes.java")


def java(*arguments, heap="512m"):
    return ["java", f"-Xmx{heap}", f"-Dlog4j2.configurationFile={LOGGING}", "-cp", f"{BUILD}:{BUILD}/libs/*", *arguments]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port, process):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if process.poll() is not None:
            sys.exit("the broker has ended")
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    sys.exit("the broker does not listen")


def kafka(folder):
    port, controller = free_port(), free_port()
    properties = folder / "server.properties"
    properties.write_text(f"""process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={folder}/data
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
""")
    sh(*java("kafka.tools.StorageTool", "format", "-t", "differentialAAAAAAAAAA", "-c", properties))
    log = open(folder / "log", "w")
    process = subprocess.Popen(java("kafka.Kafka", str(properties), heap="1g"), stdout=log, stderr=log)
    wait_for(port, process)
    return process, port, 1


def sluice(folder):
    port = free_port()
    log = open(folder / "log", "w")
    process = subprocess.Popen([BIN / "sluice-broker", "--dev", "--data", folder / "data", "--kafka", f"127.0.0.1:{port}",
                                "--grpc", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--kinesis", "127.0.0.1:0"],
                               stdout=log, stderr=log)
    wait_for(port, process)
    return process, port, 0


def answers(start):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="differential-"))
    process, port, broker = start(folder)
    try:
        done = subprocess.run(java(f"-Dbroker={broker}", "Probes", f"127.0.0.1:{port}"), capture_output=True, text=True,
                              timeout=1800)
        if done.returncode != 0:
            sys.exit(f"{start.__name__}: {done.stdout[-500:]}{done.stderr[-2000:]}\n{(folder / 'log').read_text()[-2000:]}")
        return dict(line.split("\t", 1) for line in done.stdout.splitlines() if "\t" in line)
    finally:
        process.terminate()
        process.wait(60)
        shutil.rmtree(folder)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the brokers are ended all the same
    prepare()
    reasons = {}
    for line in (HERE / "differences.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, reason = line.partition(" :: ")
            reasons[name] = reason
    theirs, ours = answers(kafka), answers(sluice)
    passed = failed = justified = 0
    for name in theirs:
        if theirs[name] == ours.get(name):
            if name in reasons:
                print(f"FAIL  {name}: differences.txt names it, and both answer {theirs[name]}")
                failed += 1
            else:
                passed += 1
        elif name in reasons:
            print(f"differs  {name}: Kafka: {theirs[name]} | Sluice: {ours.get(name)} | {reasons[name]}")
            justified += 1
        else:
            print(f"FAIL  {name}: Kafka: {theirs[name]} | Sluice: {ours.get(name)}")
            failed += 1
    print(f"{len(theirs)} questions: {passed} answered alike, {justified} differently for a reason")
    print(f"{passed + justified} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
