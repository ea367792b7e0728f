"""The client matrix: what each client produces, every client reads; administration; groups with a
rebalance; Kafka's own command-line tools and kcat. See README.md.

Every test prints one line; the last line is "N passed, N failed". A client whose toolchain this machine
lacks is said to be skipped.
"""
import concurrent.futures
import functools
import os
import pathlib
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback

sys.dont_write_bytecode = True
import clients
import tools
from clients import ALL, ROOT, Missing

BIN = pathlib.Path(os.environ.get("SLUICE_BIN", ROOT / "build/release/bin"))
T0 = (int(time.time()) - 3600) * 1000  # older records than retention allows would be deleted
os.environ["MATRIX_T0"] = str(T0)
COUNT = 66  # records of each codec
JOIN_SECONDS = 180
PARALLEL = 3  # clients beside each other


def expected(count):
    """partition -> the lines (without offset) that consumers must print, in order"""
    lines = {0: [], 1: [], 2: []}
    for i in range(count):
        key = "\\N" if i % 7 == 0 and i % 11 != 10 else f"k{i}"
        value = "\\N" if i % 11 == 10 else f"v{i}-{'x' * (i * 13 % 200)}"
        lines[i % 3].append([str(T0 + i * 1000), key, value, {"h": str(i), "e": ""}])
    return lines


def parse(output):
    """partition -> [(offset, fields)] of a consumer's output"""
    found = {0: [], 1: [], 2: []}
    for line in output.splitlines():
        fields = line.split("\t")
        if len(fields) != 6:
            continue
        headers = dict(h.split("=", 1) for h in fields[5].split(";") if h)
        found[int(fields[0])].append((int(fields[1]), [*fields[2:5], headers]))
    return found


def compare(output, count):
    found, wanted = parse(output), expected(count)
    for partition, lines in wanted.items():
        got = sorted(found[partition], key=lambda entry: entry[0])
        offsets = [offset for offset, _ in got]
        assert offsets == list(range(len(lines))), f"offsets of partition {partition}: {offsets[:5]}… ({len(offsets)})"
        for (offset, fields), line in zip(got, lines):
            assert fields == line, f"partition {partition} offset {offset}: {fields}, wanted {line}"


class Cluster:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="sluice-clients-")
        self.env = dict(line.split("=", 1) for line in self.loopback("up", self.dir, "3").splitlines())
        self.kafka = self.env["KAFKA"]

    def loopback(self, *arguments):
        done = subprocess.run([ROOT / "deploy/loopback", *arguments], capture_output=True, text=True,
                              env={**os.environ, "SLUICE_BIN": str(BIN)})
        assert done.returncode == 0, f"loopback {arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def down(self, keep):
        self.loopback("down", self.dir)
        if keep:
            print(f"the processes' logs and data are in {self.dir}")
        else:
            shutil.rmtree(self.dir, ignore_errors=True)


def run(client, *arguments, timeout=240):
    done = subprocess.run(client.command(*map(str, arguments)), capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, f"{client.name} {arguments[0]}: {done.stdout[-500:]}{done.stderr[-1500:]}"
    return done.stdout


class Member:
    """A group member: a client's process whose lines are read as they come."""

    def __init__(self, client, *arguments):
        self.name = client.name
        self.errors = tempfile.TemporaryFile(mode="w+")
        self.process = subprocess.Popen(client.command("group", *arguments), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.errors, text=True)
        self.assigned, self.records, self.left = None, [], False
        self.lines = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line)

    def look(self):
        while not self.lines.empty():
            line = self.lines.get()
            if line.startswith("ASSIGNED"):
                self.assigned = {int(p) for p in line.split()[1:]}
            elif line.startswith("LEFT"):
                self.left = True
            else:
                fields = line.rstrip("\n").split("\t")
                if len(fields) == 6:
                    self.records.append((int(fields[0]), int(fields[1])))
        return self

    def leave(self):
        self.process.stdin.write("\n")
        self.process.stdin.close()
        wait_for(lambda: self.look().left, f"{self.name} to leave", self)
        assert self.process.wait(30) == 0

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def wait_for(holds, what, *members):
    deadline = time.monotonic() + JOIN_SECONDS
    while not holds():
        for member in members:
            if member.process.poll() not in (None, 0):
                member.errors.seek(0)
                raise AssertionError(f"{member.name} ended: {member.errors.read()[-1500:]}")
        assert time.monotonic() < deadline, f"waited {JOIN_SECONDS} s for {what}"
        time.sleep(0.05)


def check_group(cluster, client, topic, count, protocol):
    """One member reads all; a second one joins and takes its part; when the first leaves, it has the rest."""
    group = f"group-{client.name}-{protocol or 'classic'}"
    arguments = [cluster.kafka, topic, group, *([protocol] if protocol else [])]
    first = Member(client, *arguments)
    second = None
    try:
        wait_for(lambda: len(set(first.look().records)) == count, "all records", first)
        assert first.assigned == {0, 1, 2}, first.assigned
        second = Member(client, *arguments)

        def shared():
            a, b = first.look().assigned, second.look().assigned
            return a and b and a | b == {0, 1, 2} and not a & b
        wait_for(shared, "the partitions to be shared", first, second)
        first.leave()
        wait_for(lambda: second.look().assigned == {0, 1, 2}, "the last member to have everything", second)
        second.leave()
        again = [r for r in second.records if r in set(first.records)]
        assert not again, f"committed and read again: {again[:5]}"
    finally:
        first.end()
        if second:
            second.end()


class Results:
    def __init__(self):
        self.passed = self.failed = 0
        self.lock = threading.Lock()

    def test(self, name, function):
        """Runs one test, says how it went, and answers whether it passed. From any thread."""
        began = time.monotonic()
        try:
            function()
        except Missing as why:
            print(f"skip  {name}: {why}", flush=True)
            return False
        except Exception as error:
            with self.lock:
                self.failed += 1
            print(f"FAIL  {name}\n{''.join(traceback.format_exception_only(error)).strip()}", flush=True)
            return False
        with self.lock:
            self.passed += 1
        print(f"ok    {name} ({time.monotonic() - began:.1f} s)", flush=True)
        return True


def at_once(jobs):
    """Runs jobs beside each other, for clients mostly wait; their answers in order."""
    with concurrent.futures.ThreadPoolExecutor(PARALLEL) as pool:
        return list(pool.map(lambda job: job(), jobs))


class Matrix:
    def __init__(self, cluster, wanted):
        self.cluster = cluster
        self.wanted = wanted
        self.results = Results()
        self.ready = []
        self.produced = {}  # topic -> (codecs, count)

    def wants(self, name):
        return not self.wanted or name in self.wanted

    def install(self):
        asked = [c for c in clients.all_clients() if self.wants(c.name)]
        done = at_once([functools.partial(self.results.test, f"{c.name}: installed", c.prepare) for c in asked])
        self.ready = [client for client, installed in zip(asked, done) if installed]

    def administer_and_produce(self, client):
        topic = f"from-{client.name}"
        self.results.test(f"{client.name}: administration",
                          lambda: run(client, "admin", self.cluster.kafka, f"admin-{client.name}"))
        tools.create_topic(self.cluster, BIN, topic, 3)

        def produce():
            run(client, "produce", self.cluster.kafka, topic, ",".join(client.codecs), COUNT)
            self.produced[topic] = (client.codecs, COUNT * len(client.codecs))
        self.results.test(f"{client.name}: produces {' '.join(client.codecs)}", produce)

    def consume(self, client):
        first = f"from-{self.ready[0].name}"
        for topic, (codecs, count) in self.produced.items():
            if topic in (first, f"from-{client.name}") and set(codecs) <= set(client.codecs):
                self.results.test(f"{client.name}: reads what {topic[5:]} produced",
                                  lambda: compare(run(client, "consume", self.cluster.kafka, topic, count), count))
        if client.name == "librdkafka":
            self.results.test("librdkafka: reads from the closest replica",
                              lambda: run(client, "closest", self.cluster.kafka, "from-librdkafka"))

    def group(self, client, protocol):
        topic = f"from-{client.name}"
        name = f"{client.name}: a group with a rebalance{' (' + protocol + ')' if protocol else ''}"
        self.results.test(name, lambda: check_group(self.cluster, client, topic, self.produced[topic][1], protocol))

    def command_line_tools(self):
        if self.wants("kcat"):
            self.results.test("kcat: lists, produces, consumes", lambda: tools.kcat(self.cluster))
        if self.wants("tools"):
            java = next((c for c in clients.all_clients() if c.name == "java"))
            tools.kafka_tools(self.cluster, BIN, self.results, java)

    def run(self):
        self.install()
        at_once([functools.partial(self.administer_and_produce, c) for c in self.ready])
        at_once([functools.partial(self.consume, c) for c in self.ready])
        at_once([self.command_line_tools,
                 *(functools.partial(self.group, c, protocol) for c in self.ready if f"from-{c.name}" in self.produced
                   for protocol in (c.protocols if "group" in c.commands else ()))])


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the cluster is ended all the same
    cluster = Cluster()
    matrix = Matrix(cluster, sys.argv[1:])
    results, whole = matrix.results, False
    try:
        matrix.run()
        whole = True
    finally:
        cluster.down(keep=results.failed > 0 or not whole)
    print(f"{results.passed} passed, {results.failed} failed")
    return 1 if results.failed else 0


if __name__ == "__main__":
    sys.exit(main())
