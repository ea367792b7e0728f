"""The clients of the matrix: how each is installed (once, under build/tests) and run."""
import os
import pathlib
import shutil
import subprocess
import threading

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
BUILD = ROOT / "build/tests/kafka_clients"
ALL = ["none", "gzip", "snappy", "lz4", "zstd"]


class Missing(Exception):
    """A toolchain that this machine does not have."""


def need(tool):
    if not shutil.which(tool):
        raise Missing(f"{tool} is not installed")


def sh(*command, cwd=None, env=None):
    done = subprocess.run(command, cwd=cwd, env={**os.environ, **(env or {})}, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=900)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}:\n{done.stdout[-2000:]}")
    return done.stdout


def changed(folder, files):
    """Whether `files` differ from those that `folder` was made of; the stamp is written by made()."""
    text = "".join(f.read_text() for f in files)
    stamp = folder / ".made-of"
    return text if not stamp.exists() or stamp.read_text() != text else None


def made(folder, text):
    (folder / ".made-of").write_text(text)


class Client:
    """`codecs` it can produce and read; `commands` it has."""
    codecs = ALL
    commands = ("admin", "produce", "consume", "group")
    # What the second member of a group is started with, more than the first.
    protocols = ("",)

    def __init__(self, name):
        self.name = name

    def prepare(self):
        raise NotImplementedError

    def command(self, *arguments):
        raise NotImplementedError


class Java(Client):
    protocols = ("classic", "consumer")
    jars = BUILD / "java"

    def prepare(self):
        need("java")
        need("mvn")
        pom, source = HERE / "java/pom.xml", HERE / "java/Client.java"
        if text := changed(self.jars, [pom, source]):
            shutil.rmtree(self.jars, ignore_errors=True)
            self.jars.mkdir(parents=True)
            sh("mvn", "-q", "-B", "-ntp", "-f", pom, "dependency:copy-dependencies",
               f"-DoutputDirectory={self.jars}/libs")
            sh("javac", "-cp", f"{self.jars}/libs/*", "-d", self.jars, source)
            made(self.jars, text)

    def java(self, main, *arguments):
        return ["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m",
                f"-Dlog4j2.configurationFile={HERE}/java/log4j2.xml", "-cp", f"{self.jars}:{self.jars}/libs/*",
                main, *arguments]

    def command(self, *arguments):
        return self.java("Client", *arguments)


class Go(Client):
    def prepare(self):
        need("go")
        folder = BUILD / self.name
        source = HERE / self.name
        if text := changed(folder, sorted(source.iterdir())):
            folder.mkdir(parents=True, exist_ok=True)
            sh("go", "build", "-o", folder / "client", ".", cwd=source)
            made(folder, text)

    def command(self, *arguments):
        return [BUILD / self.name / "client", *arguments]


class Python(Client):
    venv = BUILD / "venv"
    installing = threading.Lock()  # the clients share it

    def __init__(self, name, program, **more):
        super().__init__(name)
        self.program = program
        self.__dict__.update(more)

    def prepare(self):
        need("python3")
        requirements = HERE / "python/requirements.txt"
        with self.installing:
            if text := changed(self.venv, [requirements]):
                shutil.rmtree(self.venv, ignore_errors=True)
                sh("python3", "-m", "venv", self.venv)
                sh(self.venv / "bin/pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements)
                made(self.venv, text)

    def command(self, *arguments):
        return [self.venv / "bin/python", "-B", HERE / "python" / self.program, *arguments]


class KafkaJs(Client):
    codecs = ["none", "gzip", "snappy"]
    folder = BUILD / "kafkajs"

    def prepare(self):
        need("node")
        need("npm")
        files = [HERE / "kafkajs/package.json", HERE / "kafkajs/client.mjs"]
        if text := changed(self.folder, files):
            self.folder.mkdir(parents=True, exist_ok=True)
            for file in files:
                shutil.copy(file, self.folder)
            sh("npm", "install", "--no-audit", "--no-fund", "--silent", cwd=self.folder)
            made(self.folder, text)

    def command(self, *arguments):
        return ["node", self.folder / "client.mjs", *arguments]


class RsKafka(Client):
    commands = ("admin", "produce", "consume")
    folder = BUILD / "rskafka"

    def prepare(self):
        need("cargo")
        version = tuple(int(n) for n in sh("cargo", "--version").split()[1].split("-")[0].split(".")[:2])
        if version < (1, 85):
            raise Missing(f"rskafka needs cargo 1.85 or newer, this is {version[0]}.{version[1]}")
        source = HERE / "rskafka"
        if text := changed(self.folder, [source / "Cargo.toml", source / "src/main.rs"]):
            self.folder.mkdir(parents=True, exist_ok=True)
            sh("cargo", "build", "--release", "--quiet", "--manifest-path", source / "Cargo.toml",
               env={"CARGO_TARGET_DIR": str(self.folder)})
            made(self.folder, text)

    def command(self, *arguments):
        return [self.folder / "release/rskafka-matrix", *arguments]


def all_clients():
    return [Java("java"), Python("librdkafka", "confluent_client.py", protocols=("classic", "consumer")),
            Go("franz"), Go("sarama"), Python("kafka-python", "kafka_python_client.py"),
            Python("aiokafka", "aiokafka_client.py"), KafkaJs("kafkajs"), RsKafka("rskafka")]
