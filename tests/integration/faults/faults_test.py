"""Real faults on a real cluster, under load, with a history checker.

Three brokers and a coordinator, each in its own network namespace and on its own ext4. Every test prints one
line; the last line is "N passed, N failed".   usage: run [--all] [--long] [--cycles N] [--repeat N] [TEST...]
Without --all or names: the short version, which CI runs.
"""
import argparse
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

from load import Load, create_topic, delete_topic, read_all, topic_state, wait_in_sync
from nodes import BIN, Cluster, empty_folder, shell, wait_for

SEED = int(os.environ.get("FAULTS_SEED", time.time_ns() % 1_000_000))
chance = random.Random(SEED)


def leader_of(cluster, topic, partition=0):
    state = wait_for(lambda: (s := topic_state(cluster, topic)) and s[partition][0] >= 0 and s, "a leader")
    return cluster.brokers[state[partition][0]]


def others(cluster, broker):
    return [b for b in cluster.brokers if b is not broker]


def settle(cluster, load, why):
    """After a fault: the cluster is whole, records flow, every copy is in sync."""
    cluster.heal()
    load.wait_acknowledged(300, why)
    wait_in_sync(cluster, load.topic)


# ---- power -------------------------------------------------------------------------------------

class NothingForgotten:
    """No leader may find that a follower has less than it had acknowledged, even where the others make up for it."""

    def __init__(self, cluster):
        self.cluster, self.before = cluster, self.count(cluster)

    @staticmethod
    def count(cluster):
        return sum(b.log_text().count("a follower has less than it had acknowledged") for b in cluster.brokers)

    def check(self):
        more = self.count(self.cluster) - self.before
        assert not more, f"{more} times a follower had less than it had acknowledged: see the brokers' logs"


def power_loss(cluster, topic, cycles):
    """Cuts the power so often under load, and checks the history to its end. What came of it."""
    load, forgotten, cuts_ms, began = Load(cluster, topic), NothingForgotten(cluster), [], time.monotonic()
    for cycle in range(cycles):
        load.wait_acknowledged(200 + chance.randrange(400), f"before power cut {cycle + 1}")
        time.sleep(chance.random() * 0.3)
        cut = time.monotonic()
        cluster.cut_power()
        cluster.start()
        load.wait_acknowledged(1, f"after power cut {cycle + 1}", 60)
        cuts_ms.append(int((time.monotonic() - cut) * 1000))
    acknowledged = load.finish()
    forgotten.check()
    delete_topic(cluster, topic)
    return {"cuts": cycles, "acknowledged": acknowledged, "missing": 0, "to_acknowledgement_ms": sorted(cuts_ms),
            "seconds": round(time.monotonic() - began)}


def note(record, batch):
    if record:
        with open(record, "a", encoding="utf-8") as file:
            file.write(json.dumps(batch) + "\n")


def test_power_loss_of_all(cluster, arguments):
    """In batches, each with a history of its own that is checked before the next one begins: what a run has shown
    when it is interrupted stays shown. --record FILE keeps a line for each, and goes on where the file ends."""
    batches, record = [], arguments.record
    if record and record.exists():
        batches = [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]
    while (done := sum(b["cuts"] for b in batches)) < arguments.cycles:
        cuts = min(arguments.batch, arguments.cycles - done)
        try:
            batch = power_loss(cluster, f"power-{len(batches)}", cuts)
        except Exception as error:
            note(record, {"cuts": cuts, "wrong": str(error)[:1000]})
            raise
        note(record, batch)
        batches.append(batch)
        if arguments.cycles > arguments.batch:
            print(f"     {done + cuts} power cuts; the last {cuts} in {batch['seconds']} s: {batch['acknowledged']} "
                  f"records acknowledged, none missing", flush=True)
    wrong = [b["wrong"] for b in batches if "wrong" in b]
    assert not wrong, f"{len(wrong)} batches found a fault: {wrong}"
    total = sum(b["acknowledged"] for b in batches)
    cuts_ms = sorted(ms for b in batches for ms in b["to_acknowledgement_ms"])
    print(f"     {len(cuts_ms)} power cuts in {sum(b['seconds'] for b in batches)} s, {total} acknowledged records, none "
          f"missing; power cut to first acknowledgement: median {cuts_ms[len(cuts_ms) // 2]} ms, worst {cuts_ms[-1]} ms "
          f"(remounting included)")


def test_power_loss_of_one(cluster, _):
    load, forgotten = Load(cluster, "power-one"), NothingForgotten(cluster)
    for broker in cluster.brokers:
        load.wait_acknowledged(300, "before")
        cluster.cut_power([broker])
        load.wait_acknowledged(300, f"without {broker.name}")
        cluster.start()
        wait_in_sync(cluster, load.topic)
    load.finish()
    forgotten.check()
    delete_topic(cluster, "power-one")


# ---- processes ---------------------------------------------------------------------------------

def test_kill_each_process(cluster, _):
    load = Load(cluster, "kills")
    for node in [*cluster.brokers, cluster.coordinator]:
        load.wait_acknowledged(200, "before")
        node.kill()
        load.wait_acknowledged(500, f"without {node.name}")
        settle(cluster, load, f"with {node.name} again")
    load.finish()
    delete_topic(cluster, "kills")


def test_pause_each_process(cluster, _):
    load = Load(cluster, "pauses")
    for node in [*cluster.brokers, cluster.coordinator]:
        load.wait_acknowledged(200, "before")
        node.signal(signal.SIGSTOP)
        load.wait_acknowledged(500, f"while {node.name} is stopped")
        time.sleep(chance.random() * 2)
        node.signal(signal.SIGCONT)
        settle(cluster, load, f"with {node.name} again")
    load.finish()
    delete_topic(cluster, "pauses")


def resident_mib(node):
    status = pathlib.Path(f"/proc/{node.pid()}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")) / 1024


# What is under way to one peer (FlowOptions::peer_bytes_max, 64 MiB) and as much again for what a broker needs
# for more load: all that a follower that stands still may cost each of the others.
STUCK_FOLLOWER_MIB = 128


def test_stopped_follower_holds_a_bounded_amount(cluster, arguments):
    """For a minute (20 s in a run that is not --long) under 6 MiB/s; it catches up after."""
    create_topic(cluster, "stuck", 6)
    victim = chance.choice(cluster.brokers)
    running = others(cluster, victim)
    seconds = 60 if arguments.long else 20
    load = ["bench", "produce", "stuck", "--rate-bytes", "6MiB", "--seconds"]
    cluster.sluice(*load, 8, broker=running[0].number, timeout=90)   # caches are full before it is measured
    before = {b: resident_mib(b) for b in running}
    growth = 0
    victim.signal(signal.SIGSTOP)
    bench = subprocess.Popen([BIN / "sluice", "--broker", f"{running[0].address}:9090", *load, str(seconds)],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while bench.poll() is None:
        growth = max(growth, *(resident_mib(b) - before[b] for b in running))
        time.sleep(0.2)
    out = bench.stdout.read()
    victim.signal(signal.SIGCONT)
    assert bench.returncode == 0, f"records were not stored while {victim.name} stood still: {out}"
    assert growth < STUCK_FOLLOWER_MIB, f"a broker grew by {growth:.0f} MiB while {victim.name} stood still"
    wait_in_sync(cluster, "stuck", 120)
    print(f"     {victim.name} stood still for {seconds} s; the others grew by {max(growth, 0):.0f} MiB at most; {out.strip()}")
    delete_topic(cluster, "stuck")


def test_broker_and_coordinator_die_together(cluster, _):
    load = Load(cluster, "both")
    load.wait_acknowledged(200, "before")
    cluster.coordinator.kill()
    cluster.brokers[1].kill()
    cluster.coordinator.start()
    load.wait_acknowledged(500, "with a new coordinator, without broker-1")
    settle(cluster, load, "with all again")
    load.finish()
    delete_topic(cluster, "both")


# ---- network -----------------------------------------------------------------------------------

def test_leader_cut_off_from_its_followers(cluster, _):
    """Clients and coordinator still reach it; what it cannot commit it must not acknowledge or show."""
    load = Load(cluster, "island")
    load.wait_acknowledged(300, "before")
    leader = leader_of(cluster, "island")
    leader.cut_off(*others(cluster, leader))
    load.wait_acknowledged(500, "by the others", 60)
    wait_for(lambda: all(s[0] != leader.number for s in topic_state(cluster, "island").values()),
             "others to lead", 30)
    settle(cluster, load, "after healing")
    load.finish()
    delete_topic(cluster, "island")


def test_broker_cut_off_from_everybody(cluster, _):
    load = Load(cluster, "dark")
    load.wait_acknowledged(300, "before")
    leader = leader_of(cluster, "dark")
    leader.cut_off(*others(cluster, leader), cluster.coordinator)
    load.wait_acknowledged(500, "by the others", 60)
    settle(cluster, load, "after healing")
    load.finish()
    delete_topic(cluster, "dark")


def test_one_way_partition(cluster, _):
    """The leader hears nobody, but is heard."""
    load = Load(cluster, "one-way")
    load.wait_acknowledged(300, "before")
    leader = leader_of(cluster, "one-way")
    leader.stop_hearing(*others(cluster, leader))
    load.wait_acknowledged(500, "by the others", 60)
    settle(cluster, load, "after healing")
    load.finish()
    delete_topic(cluster, "one-way")


def test_coordinator_cut_off(cluster, _):
    """Nothing stops; and nobody is elected who is not needed."""
    load = Load(cluster, "headless")
    load.wait_acknowledged(300, "before")
    leaders = {p: s[0] for p, s in topic_state(cluster, "headless").items()}
    cluster.coordinator.cut_off(*cluster.brokers)
    before = load.acknowledged
    time.sleep(6)  # longer than sessions last
    assert load.acknowledged > before + 500, "records do not flow without a coordinator"
    settle(cluster, load, "after healing")
    assert {p: s[0] for p, s in topic_state(cluster, "headless").items()} == leaders, "leadership has moved"
    load.finish()
    delete_topic(cluster, "headless")


# ---- disks -------------------------------------------------------------------------------------

def test_failed_fsync_ends_the_broker(cluster, _):
    load = Load(cluster, "eio")
    load.wait_acknowledged(300, "before")
    victim = leader_of(cluster, "eio")
    tracer = subprocess.Popen(["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e",
                               "inject=fdatasync:error=EIO:when=20+", "-p", str(victim.pid())])
    wait_for(lambda: not victim.alive(), "the broker to end after a failed fdatasync", 20)
    tracer.wait(10)
    assert "fdatasync" in victim.log_text() and "Input/output error" in victim.log_text(), \
        f"it does not say why: {victim.log_text()[-800:]}"
    load.wait_acknowledged(500, f"without {victim.name}")
    settle(cluster, load, f"with {victim.name} again")
    load.finish()
    delete_topic(cluster, "eio")


def test_disk_that_takes_no_direct_writes(cluster, _):
    """A file system that has the flag, but refuses such a write: the broker goes on through the page cache."""
    load = Load(cluster, "direct")
    load.wait_acknowledged(300, "before")
    victim = leader_of(cluster, "direct")
    with tempfile.NamedTemporaryFile("r") as trace:
        tracer = subprocess.Popen(["strace", "-f", "-qq", "-y", "-o", trace.name, "-e", "trace=pwrite64,fcntl", "-e",
                                   "inject=pwrite64:error=EINVAL:when=1", "-p", str(victim.pid())])
        told = []

        def refused():
            told.extend(trace.readlines())
            return any(".log>" in line and "(INJECTED)" in line for line in told) and \
                any("F_SETFL" in line and ".log>" in line and "O_DIRECT" not in line for line in told)
        wait_for(refused, "a direct write to a log file to be refused, and its file to leave direct I/O", 30)
        load.wait_acknowledged(300, "through the page cache")
        tracer.terminate()
        tracer.wait(10)
    assert victim.alive(), f"it ended: {victim.log_text()[-800:]}"
    victim.kill()
    victim.start()
    settle(cluster, load, f"with what {victim.name} had written both ways")
    load.finish()
    delete_topic(cluster, "direct")


def test_full_disks(cluster, _):
    """Appends are refused with a clear error, reads and administration go on; space freed, writes go on."""
    create_topic(cluster, "full", 1)
    cluster.sluice("produce", "full", stdin="".join(f"before-{i}\n" for i in range(100)))
    ballasts = []
    for broker in cluster.brokers:
        broker.disk.fill(32 << 20, ballasts)
    line = "x" * 10_000 + "\n"
    refused, written = [], 0

    def is_clear(error):
        return "full" in error.lower() or "space" in error.lower()
    # What a leader had taken when the others' disks filled may get no answer (GUARANTEES.md); what comes
    # after it is refused with the reason.
    while written < 24_000 and len(refused) < 4 and not any(map(is_clear, refused)):
        done = cluster.sluice("produce", "full", "--retry-for", "15s", stdin=line * 400, check=False, timeout=120)
        if done.returncode:
            refused.append(done.stderr)
        else:
            written += 400
    assert refused, f"{written} records of 10 kB were taken on full disks"
    assert is_clear(refused[-1]), f"not a clear error: {[error[-400:] for error in refused]}"
    out = cluster.sluice("consume", "full", "--from-beginning", "--until-end", "-o", "json", timeout=120).stdout
    assert len(out.splitlines()) >= 100 + written, "a full disk stops reads"
    create_topic(cluster, "full-admin", 3)
    delete_topic(cluster, "full-admin")
    assert all(b.alive() for b in cluster.brokers), "a broker has ended"
    for ballast in ballasts:
        ballast.unlink()

    def taken():
        return cluster.sluice("produce", "full", "--retry-for", "5s", stdin="after\n", check=False).returncode == 0
    wait_for(taken, "writes to go on once space is free", 30, pause=0.5)
    out = cluster.sluice("consume", "full", "--from-beginning", "--until-end", "-o", "json", timeout=120).stdout
    assert '"after"' in out, "the record after the full disk is not there"
    delete_topic(cluster, "full")


def flip(path, position):
    with open(path, "r+b") as file:
        file.seek(position)
        byte = file.read(1)
        file.seek(position)
        file.write(bytes([byte[0] ^ 0x10]))


def used_bytes_of(path):
    """Length without the zeros at its end."""
    return len(path.read_bytes().rstrip(b"\0"))


def data_files(broker, kind):
    """Files of the kind in the broker's data directory with something in them."""
    patterns = {"log": "log/*.log", "index": "log/*.idx", "checkpoint": "checkpoint", "meta": "meta",
                "metadata": "metadata.pb"}
    return [p for p in broker.data.glob(patterns[kind]) if used_bytes_of(p) > 0]


def make_leader(cluster, topic, broker):
    """Of partition 0, and then the cluster may do as it likes again."""
    cluster.sluice("move", topic, "0", "--leader", broker.number)
    cluster.sluice("move", topic, "0", "--automatic")
    wait_for(lambda: any(leader == broker.number for leader, _ in topic_state(cluster, topic).values()),
             f"{broker.name} to be told of as a leader")


def damage_while_it_runs(cluster, load, broker):
    """Damages old records of a leader, and reads until it has come upon them."""
    broker.stop()   # what it has written since its start is read from memory
    broker.start()
    wait_in_sync(cluster, load.topic)
    make_leader(cluster, load.topic, broker)
    path = min(p for p in broker.data.glob("log/*.log"))
    for position in range(4096, used_bytes_of(path), 4096):
        flip(path, position)
    said = broker.log_text().count("damaged bytes")

    def found():
        read_all(cluster, load.topic, load.partitions, written=True)
        return broker.log_text().count("damaged bytes") > said
    wait_for(found, f"{broker.name} to find the damage", 60)


def damage(cluster, kind, how, broker):
    """Damages a file of a stopped broker, starts it, and makes the cluster whole again."""
    broker.kill()
    if not data_files(broker, kind):   # one that was emptied has no index, before it has been started again
        broker.start()
        broker.wait_ready()
        broker.kill()
    path = max(data_files(broker, kind), key=used_bytes_of)
    size = used_bytes_of(path)
    if how == "flip":
        flip(path, chance.randrange(size // 4, max(size * 3 // 4, size // 4 + 1)))
    elif how == "truncate":
        os.truncate(path, size // 2)
    else:
        path.unlink()
    broker.start()
    wait_for(lambda: not broker.alive() or broker.ready(), f"{broker.name} to be ready, or to refuse", 30)
    if broker.alive():
        return "served"
    said = broker.log_text()[-1500:]
    assert path.name in said or "log file" in said or kind in said, f"refused without naming the damage: {said}"
    empty_folder(broker.data)   # what the message asks for: it comes back as a new one
    broker.start()
    broker.wait_ready()
    return "refused, and was emptied"


def test_damage_to_each_kind_of_file(cluster, arguments):
    """Of one broker: what it stores is fetched again, and what is served is right all the time. The short version
    takes one way for each kind."""
    ways = [("log", "flip"), ("log", "truncate"), ("log", "remove"), ("index", "flip"), ("index", "remove"),
            ("checkpoint", "flip"), ("checkpoint", "remove"), ("meta", "flip"), ("metadata", "flip"),
            ("metadata", "remove")]
    if not arguments.long:
        ways = [chance.choice([w for w in ways if w[0] == kind]) for kind in dict.fromkeys(k for k, _ in ways)]
    load = Load(cluster, "damage", pause_s=0.005)
    broker, outcomes = chance.choice(cluster.brokers), []
    for kind, how in ways:
        load.wait_acknowledged(400, f"before {kind} {how}")
        outcomes.append(f"{kind} {how}: {damage(cluster, kind, how, broker)}")
        load.wait_acknowledged(400, f"after {kind} {how}")
        wait_in_sync(cluster, "damage", 90)
    damage_while_it_runs(cluster, load, broker)
    load.wait_acknowledged(400, "after damage to a leader's old records")
    wait_in_sync(cluster, "damage", 90)
    total = load.finish()
    print(f"     {total} acknowledged records; " + "; ".join(outcomes))
    delete_topic(cluster, "damage")


# ---- clocks ------------------------------------------------------------------------------------

def test_clock_jumps(cluster, _):
    """Wall clocks of two brokers and the coordinator jump by hours, forwards and back. The topic takes records from
    the future: a broker whose clock is behind would refuse them, by default those more than an hour ahead."""
    library = next(iter(pathlib.Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)
    assert library, "libfaketime is missing: deploy/deps test"
    jumping = [cluster.brokers[0], cluster.brokers[1], cluster.coordinator]
    for node in jumping:
        node.clock = node.dir / "clock"
        node.clock.write_text("+0\n")
        node.environment = {"LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(node.clock),
                            "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_RESET": "1"}
        node.kill()
        cluster.start()
    load = Load(cluster, "clocks", config={"message.timestamp.after.max.ms": str(7 * 86_400_000)})
    for jump in ("+7200", "-7200", "+86400", "-3", "+0"):
        for node in jumping:
            node.clock.write_text(jump + "\n")
            load.wait_acknowledged(200, f"with {node.name} {jump} s off")
    load.finish()
    for node in jumping:
        node.environment = {}
        node.kill()
        cluster.start()
    delete_topic(cluster, "clocks")


SHORT = ("test_power_loss_of_all", "test_kill_each_process", "test_pause_each_process",
         "test_leader_cut_off_from_its_followers", "test_disk_that_takes_no_direct_writes", "test_full_disks",
         "test_damage_to_each_kind_of_file")


def main():
    tests = {name: f for name, f in globals().items() if name.startswith("test_")}
    parser = argparse.ArgumentParser()
    parser.add_argument("--cycles", type=int, default=5, help="power cuts of the whole cluster")
    parser.add_argument("--batch", type=int, default=10, help="power cuts with one history, checked at once")
    parser.add_argument("--record", type=pathlib.Path, help="file of checked batches, one a line; a run goes on with it")
    parser.add_argument("--repeat", type=int, default=1, help="runs of every test")
    parser.add_argument("--all", action="store_true", help="every test, not the short version alone")
    parser.add_argument("--long", action="store_true", help="every way to damage a file; pauses of a minute")
    parser.add_argument("tests", nargs="*")
    arguments = parser.parse_args()
    if not arguments.tests:
        arguments.tests = list(tests) if arguments.all else list(SHORT)
    unknown = set(arguments.tests) - set(tests)
    if unknown:
        parser.error(f"no such tests: {', '.join(sorted(unknown))}")
    folder = tempfile.mkdtemp(prefix="sluice-faults-")
    print(f"FAULTS_SEED={SEED}", flush=True)
    cluster, passed, failed = Cluster(folder), 0, 0
    cluster.start()
    for name, test in tests.items():
        for _ in range(arguments.repeat if name in arguments.tests else 0):
            began = time.monotonic()
            try:
                test(cluster, arguments)
                passed += 1
                print(f"ok   {name} ({time.monotonic() - began:.1f}s)", flush=True)
            except Exception:  # reported, and the next test runs
                failed += 1
                print(f"FAIL {name}\n{traceback.format_exc()}", flush=True)
                clients = Load.stop_all()   # they must not go on in the next test
                cluster.begin_anew()
                for client in clients:
                    client.stop()
    cluster.close()
    if failed:
        print(f"logs and histories: {folder}")
    else:
        shutil.rmtree(folder)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
