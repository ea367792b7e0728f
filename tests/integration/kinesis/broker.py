"""One broker alone, with access keys that its Kinesis door verifies, for these tests."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[3]
BIN = pathlib.Path(os.environ.get("SLUICE_BIN") or ROOT / "build/release/bin")
ACCOUNT, ACCESS_KEY, SECRET, REGION = "123456789012", "AKIATEST", "test-secret", "eu-west-1"
# For every SDK, in its process.
ENVIRONMENT = {**os.environ, "AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET,
               "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION,
               "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/dev/null",
               "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "PYTHONUTF8": "1",
               # A shard gives five reads a second, and the SDKs' pauses are drawn by lot: three of them can
               # be too short together.
               "AWS_MAX_ATTEMPTS": "12"}
for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
    ENVIRONMENT.pop(name, None)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Broker:
    """A context; `endpoint` is its Kinesis URL, `ports` has the others."""

    def __init__(self, *settings, verify=True):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="sluice-kinesis-"))
        self.ports = {name: free_port() for name in ("kafka", "grpc", "kinesis", "metrics")}
        self.endpoint = f"http://127.0.0.1:{self.ports['kinesis']}"
        self.settings = list(settings)
        self.process = None
        if verify:
            self.write_keys({ACCESS_KEY: SECRET})
            self.settings += ["--kinesis-credentials", self.dir / "keys.yaml"]

    def write_keys(self, keys):
        text = "".join(f'- accessKeyId: {key}\n  secretAccessKey: {secret}\n  accountId: "{ACCOUNT}"\n'
                       for key, secret in keys.items())
        (self.dir / "keys.new").write_text(text)
        os.replace(self.dir / "keys.new", self.dir / "keys.yaml")

    def start(self):
        listeners = [word for name, port in self.ports.items()
                     for word in (f"--{name}", f"127.0.0.1:{port}")]
        with open(self.dir / "log", "ab") as log:
            self.process = subprocess.Popen(
                [BIN / "sluice-broker", "--dev", "--data", self.dir / "data", *listeners,
                 *self.settings], stdout=subprocess.PIPE, stderr=log, text=True)
        line = self.process.stdout.readline()
        assert "ready" in line, f"the broker did not start: see {self.dir}/log"

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        return self.process.wait(timeout=30)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *_):
        if self.process and self.process.poll() is None:
            self.stop()
        if kind is None:
            shutil.rmtree(self.dir)


def run_tests(tests):
    """Runs functions by name, one line each; ends with "N passed, N failed"."""
    failed = 0
    for test in tests:
        try:
            test()
            print(f"ok   {test.__name__}", flush=True)
        except Exception as error:  # whatever it is, it is a failure of the test
            failed += 1
            print(f"FAIL {test.__name__}: {type(error).__name__}: {error}", flush=True)
    print(f"{len(tests) - failed} passed, {failed} failed")
    return 1 if failed else 0
