"""A Sluice cluster whose nodes can lose power, network and sanity: each in its own network namespace, each on
its own loop-mounted file system. Needs root; to be used in namespaces of its own (see `run`)."""
import fcntl
import os
import pathlib
import resource
import shutil
import signal
import struct
import subprocess
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[3]
BIN = pathlib.Path(os.environ.get("SLUICE_BIN", ROOT / "build/release/bin"))
EXT4_IOC_SHUTDOWN, NO_LOG_FLUSH = 0x8004587D, 2   # what was not synced is gone, as if the power were cut


def wait_for(condition, what, seconds=30, pause=0.05):
    end = time.monotonic() + seconds
    while True:
        got = condition()
        if got:
            return got
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(pause)


def shell(*args, check=True):
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(map(str, args))}: {done.stderr}{done.stdout}")
    return done


def make_network():
    """A bridge in this (private) network namespace; the clients' address is on it."""
    shell("mount", "-t", "tmpfs", "tmpfs", "/run")
    os.makedirs("/run/netns")
    shell("ip", "link", "set", "lo", "up")
    shell("ip", "link", "add", "br0", "type", "bridge")
    shell("ip", "addr", "add", "10.99.0.1/24", "dev", "br0")
    shell("ip", "link", "set", "br0", "up")


class Disk:
    """An ext4 file system in a file, mounted at `mount`."""

    def __init__(self, image, mount, mib):
        self.image, self.mount = pathlib.Path(image), pathlib.Path(mount)
        with open(self.image, "wb") as file:
            file.truncate(mib << 20)
        shell("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1", self.image)
        self.mount.mkdir(parents=True)
        self.attach()

    def attach(self):
        shell("mount", "-o", "loop", self.image, self.mount)

    def detach(self):
        wait_for(lambda: shell("umount", self.mount, check=False).returncode == 0, f"umount of {self.mount}", 10)

    def cut_power(self):
        folder = os.open(self.mount, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, EXT4_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(folder)

    def after_power_cut(self):
        self.detach()
        self.attach()

    def fill(self, but_for_bytes, ballasts):
        """Takes all space but so much; the file that does is added to `ballasts`."""
        ballast = self.mount / "ballast"
        shell("fallocate", "-l", max(self.free_bytes() - but_for_bytes, 1), ballast)
        ballasts.append(ballast)

    def free_bytes(self):
        info = os.statvfs(self.mount)
        return info.f_bavail * info.f_frsize


class Node:
    def __init__(self, cluster, name, address, disk_mib):
        self.cluster, self.name, self.address = cluster, name, address
        self.dir = cluster.dir / name
        self.dir.mkdir()
        self.process = None
        self.environment = {}
        self.disk = Disk(self.dir / "disk", self.dir / "mnt", disk_mib)
        self.data = self.disk.mount / "data"
        self.log = self.dir / "log"
        self.join_network()

    def join_network(self):
        veth = "v-" + self.name.replace("broker-", "b").replace("coordinator", "c")
        shell("ip", "netns", "add", self.name)
        shell("ip", "link", "add", veth, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        shell("ip", "link", "set", veth, "master", "br0", "up")
        for command in (["addr", "add", f"{self.address}/24", "dev", "eth0"], ["link", "set", "eth0", "up"],
                        ["link", "set", "lo", "up"]):
            shell("ip", "-n", self.name, *command)

    def start(self):
        assert not self.alive(), f"{self.name} runs already"
        self.data.mkdir(exist_ok=True)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with open(self.log, "a", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{self.name}", *map(str, self.command())], stdout=log,
                stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env={**os.environ, **self.environment})

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def pid(self):
        return self.process.pid   # nsenter becomes the program; `ip netns exec` would hold on to all mounts

    def signal(self, number):
        if self.alive():
            os.kill(self.pid(), number)

    def frozen(self):
        """All its threads, as far as they are not in the kernel for good."""
        states = [stat.read_text().rpartition(")")[2].split()[0]
                  for stat in pathlib.Path(f"/proc/{self.pid()}/task").glob("*/stat")] if self.alive() else []
        return all(state in "TDZX" for state in states)

    def kill(self):
        self.signal(signal.SIGKILL)
        if self.process:
            self.process.wait(20)

    def stop(self):
        self.signal(signal.SIGTERM)
        self.process.wait(40)

    def log_text(self):
        return self.log.read_text(errors="replace")

    # --- network faults

    def _filter(self, action, direction, peer):
        flag = "-s" if direction == "INPUT" else "-d"
        shell("ip", "netns", "exec", self.name, "iptables", "-w", action, direction, flag, peer.address, "-j", "DROP")

    def stop_hearing(self, *peers):
        for peer in peers:
            self._filter("-A", "INPUT", peer)

    def cut_off(self, *peers):
        """Both directions. What is sent vanishes; connections stay as they are."""
        for peer in peers:
            self._filter("-A", "INPUT", peer)
            self._filter("-A", "OUTPUT", peer)

    def heal_network(self):
        shell("ip", "netns", "exec", self.name, "iptables", "-w", "-F")


class Coordinator(Node):
    def command(self):
        return [BIN / "sluice-operator", "coordinator", "--cluster", "faults", "--brokers", self.cluster.size,
                "--metadata", f"file:{self.data}", "--listen", f"{self.address}:9443"]


class Broker(Node):
    def __init__(self, cluster, number, disk_mib):
        super().__init__(cluster, f"broker-{number}", f"10.99.0.{10 + number}", disk_mib)
        self.number = number

    def command(self):
        a = self.address
        return [BIN / "sluice-broker", "--cluster", "faults", "--broker-id", self.number, "--zone",
                f"zone-{self.number}", "--data", self.data, "--coordinator",
                f"{self.cluster.coordinator.address}:9443", "--advertise", a, "--kafka", f"{a}:9092", "--grpc",
                f"{a}:9090", "--replication", f"{a}:9095", "--metrics", f"{a}:9644"]

    def ready(self):
        try:
            with urllib.request.urlopen(f"http://{self.address}:9644/readyz", timeout=1) as answer:
                return answer.status == 200
        except OSError:
            return False

    def wait_ready(self, seconds=30):
        def up():
            assert self.alive(), f"{self.name} has ended: {self.log_text()[-1500:]}"
            return self.ready()
        wait_for(up, f"{self.name} to be ready", seconds)


class Cluster:
    def __init__(self, folder, size=3, disk_mib=900):
        self.dir, self.size = pathlib.Path(folder), size
        make_network()
        self.coordinator = Coordinator(self, "coordinator", "10.99.0.2", 64)
        self.brokers = [Broker(self, i, disk_mib) for i in range(size)]
        self.kafka = ",".join(f"{b.address}:9092" for b in self.brokers)
        self.grpc = f"{self.brokers[0].address}:9090"

    def nodes(self):
        return [self.coordinator, *self.brokers]

    def start(self):
        """Starts what does not run; waits until all of it is ready."""
        for node in self.nodes():
            if not node.alive():
                node.start()
        for broker in self.brokers:
            broker.wait_ready()

    def heal(self):
        """Everything runs, on a whole network, with its own clock."""
        for node in self.nodes():
            node.heal_network()
            node.signal(signal.SIGCONT)
        self.start()

    def begin_anew(self):
        """Empty disks and a whole network, whatever state it is in."""
        for node in self.nodes():
            node.signal(signal.SIGCONT)
            node.kill()
            node.environment = {}
            node.heal_network()
        for node in self.nodes():
            node.disk.after_power_cut()
            empty_folder(node.data)
        self.start()

    def cut_power(self, nodes=None):
        """At one moment. The processes are frozen first: a shut-down ext4 may call an fdatasync a success that it
        has dropped half of, which nobody lives to see when the power goes."""
        nodes = nodes or self.nodes()
        for node in nodes:
            node.signal(signal.SIGSTOP)
        for node in nodes:
            wait_for(node.frozen, f"{node.name} to be frozen", pause=0)
        for node in nodes:
            node.disk.cut_power()
        for node in nodes:
            node.kill()
        for node in nodes:
            node.disk.after_power_cut()

    def close(self):
        for node in self.nodes():
            node.signal(signal.SIGCONT)
            node.kill()
        for node in self.nodes():
            node.disk.detach()

    def sluice(self, *args, stdin=None, check=True, timeout=60, broker=0):
        done = subprocess.run([BIN / "sluice", "--broker", f"{self.brokers[broker].address}:9090", *map(str, args)],
                              input=stdin, capture_output=True, text=True, timeout=timeout)
        if check and done.returncode:
            raise AssertionError(f"sluice {args}: {done.stdout}{done.stderr}")
        return done


def empty_folder(path):
    for entry in pathlib.Path(path).iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
