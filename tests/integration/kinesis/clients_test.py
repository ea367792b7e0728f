"""AWS's clients against one broker that verifies their signatures, each in its own program under
clients/: create, put (one, a batch, by hash key), read by every kind of iterator, split, merge,
list, tag, delete, and what is refused. Together they speak JSON and CBOR, HTTP/1.1 and HTTP/2."""
import pathlib
import shutil
import subprocess
import sys
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from broker import ACCESS_KEY, ENVIRONMENT, REGION, ROOT, SECRET, Broker, run_tests

CLIENTS = pathlib.Path(__file__).resolve().parent / "clients"
WORK = ROOT / "build/tests/kinesis"
broker = Broker()


def run(*command, cwd=None, timeout=120):
    done = subprocess.run([str(word) for word in command], cwd=cwd, env=ENVIRONMENT, timeout=timeout,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise RuntimeError(f"exit status {done.returncode}:\n{done.stdout[-3000:]}")
    return done.stdout


def fresh_copy(name):
    """A copy of clients/NAME under build/, where what it installs stays for the next run."""
    folder = WORK / name
    shutil.copytree(CLIENTS / name, folder, dirs_exist_ok=True)
    return folder


def boto3_tour():
    run(sys.executable, CLIENTS / "boto3_client.py", broker.endpoint)


def aws_cli_tour():
    run(CLIENTS / "awscli_client.sh", broker.endpoint, pathlib.Path(sys.executable).parent / "aws")


def javascript_v3_tour():
    folder = fresh_copy("js")
    run("npm", "install", "--no-audit", "--no-fund", "--prefer-offline", cwd=folder, timeout=600)
    run("node", "client.mjs", broker.endpoint, cwd=folder)


def go_v2_tour():
    folder = fresh_copy("go")
    run("go", "build", "-o", "client", ".", cwd=folder, timeout=600)
    run(folder / "client", broker.endpoint)


def java_v2_tour():
    folder = fresh_copy("java")
    if not (folder / "classpath").exists():
        run("mvn", "-q", "-B", "-ntp", "dependency:build-classpath",
            "-Dmdep.outputFile=classpath", cwd=folder, timeout=600)
    classpath = (folder / "classpath").read_text()
    run("javac", "-d", folder / "classes", "-cp", classpath, folder / "src/main/java/Client.java")
    run("java", "-cp", f"{folder / 'classes'}:{classpath}", "Client", broker.endpoint)


def client(key, secret):
    return boto3.client("kinesis", endpoint_url=broker.endpoint, region_name=REGION,
                        aws_access_key_id=key, aws_secret_access_key=secret,
                        config=Config(retries={"max_attempts": 1}))


def access_keys_change_without_a_restart():
    broker.write_keys({ACCESS_KEY: SECRET, "AKIASECOND": "other"})
    second = client("AKIASECOND", "other")
    deadline = time.monotonic() + 30
    while True:
        try:
            second.list_streams()
            break
        except ClientError as error:
            assert error.response["Error"]["Code"] == "UnrecognizedClientException", error
            assert time.monotonic() < deadline, error
            time.sleep(0.1)
    client(ACCESS_KEY, SECRET).list_streams()
    # A file that is wrong changes nothing.
    (broker.dir / "keys.yaml").write_text("nonsense")
    while b"access keys not taken" not in (broker.dir / "log").read_bytes():
        assert time.monotonic() < deadline + 30
        time.sleep(0.1)
    second.list_streams()


def a_stop_ends_cleanly():
    assert broker.stop() == 0


if __name__ == "__main__":
    with broker:
        status = run_tests([boto3_tour, aws_cli_tour, javascript_v3_tour, go_v2_tour, java_v2_tour,
                            access_keys_change_without_a_restart, a_stop_ends_cleanly])
    sys.exit(status)
