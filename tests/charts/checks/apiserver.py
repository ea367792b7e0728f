"""A kube-apiserver with its etcd, on loopback and ephemeral ports, for one test run.

Only these two processes run: no controllers, no nodes. What is applied is validated, defaulted and
stored as on a real cluster, and nothing acts on it. Both end with the test, however the test ends.
"""

import ctypes
import json
import os
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request

ADMIN_TOKEN = "admin-of-a-throw-away-server"
START_TIMEOUT_S = 90


class ApiError(Exception):
    """An answer of the API server other than success; `message` is its Status message."""

    def __init__(self, code, message):
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until(condition, what, tell, seconds=120):
    """Asks again and again; `tell` says what was seen instead when it never holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {seconds} s for {what}:\n{tell()}")
        time.sleep(0.2)


def die_with_parent():
    """Runs in the child: the kernel ends it when the test dies, even by SIGKILL."""
    pr_set_pdeathsig = 1
    ctypes.CDLL("libc.so.6", use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL)


class ApiServer:
    FLAGS = []  # more for the API server; of two with one name the last counts

    def __init__(self, bin_dir, work_dir):
        self.bin_dir = bin_dir
        self.dir = work_dir
        self.processes = []

    def start(self):
        etcd_port, peer_port, self.port = free_port(), free_port(), free_port()
        self._write_credentials()
        self._spawn("etcd", [
            f"--data-dir={self.dir}/etcd", "--unsafe-no-fsync", "--log-level=warn",
            f"--listen-client-urls=http://127.0.0.1:{etcd_port}",
            f"--advertise-client-urls=http://127.0.0.1:{etcd_port}",
            f"--listen-peer-urls=http://127.0.0.1:{peer_port}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{peer_port}",
            f"--initial-cluster=default=http://127.0.0.1:{peer_port}",
        ])
        self._spawn("kube-apiserver", [
            f"--etcd-servers=http://127.0.0.1:{etcd_port}", "--bind-address=127.0.0.1",
            f"--secure-port={self.port}", f"--cert-dir={self.dir}/certs",
            "--service-cluster-ip-range=10.99.0.0/24", "--endpoint-reconciler-type=none",
            "--authorization-mode=RBAC", f"--token-auth-file={self.dir}/tokens.csv",
            "--service-account-issuer=https://sluice.test",
            f"--service-account-signing-key-file={self.dir}/sa.key",
            f"--service-account-key-file={self.dir}/sa.key",
            "--disable-admission-plugins=ServiceAccount", *self.FLAGS,
        ])
        self._wait_ready()
        self._write_kubeconfig()
        return self

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
        for process in reversed(self.processes):
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes = []

    def request(self, method, path, body=None, content_type="application/json"):
        """One call; returns the decoded answer or raises ApiError."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"https://127.0.0.1:{self.port}{path}", data, method=method)
        request.add_header("Authorization", f"Bearer {ADMIN_TOKEN}")
        request.add_header("Content-Type", content_type)
        try:
            with urllib.request.urlopen(request, context=self._tls(), timeout=30) as answer:
                return json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            text = error.read().decode()
            try:
                text = json.loads(text)["message"]
            except (ValueError, KeyError):
                pass
            raise ApiError(error.code, text) from None

    def version(self):
        return self.request("GET", "/version")["gitVersion"].lstrip("v")

    def environment(self):
        """Variables for kubectl and helm: they see this server and none of the user's settings."""
        env = dict(os.environ, KUBECONFIG=f"{self.dir}/kubeconfig", HOME=f"{self.dir}/home")
        for name in ("HELM_NAMESPACE", "HELM_KUBECONTEXT", "HELM_DRIVER"):
            env.pop(name, None)
        env["PATH"] = f"{self.bin_dir}:{env['PATH']}"
        return env

    def _write_credentials(self):
        os.makedirs(f"{self.dir}/home", exist_ok=True)
        with open(f"{self.dir}/tokens.csv", "w", encoding="utf-8") as f:
            f.write(f'{ADMIN_TOKEN},admin,admin,"system:masters"\n')
        subprocess.run(["openssl", "genrsa", "-out", f"{self.dir}/sa.key", "2048"],
                       check=True, capture_output=True)

    def _spawn(self, name, args):
        with open(f"{self.dir}/{name}.log", "wb") as log:
            self.processes.append(subprocess.Popen(
                [f"{self.bin_dir}/{name}", *args], stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, preexec_fn=die_with_parent))

    def _wait_ready(self):
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            for process in self.processes:
                if process.poll() is not None:
                    raise RuntimeError(f"{process.args[0]} ended:\n{self._log_tail(process.args[0])}")
            try:
                self.request("GET", "/readyz")
                return
            except ValueError:  # "ok" is not JSON: the server is ready
                return
            except (ApiError, OSError) as error:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"the API server is not ready: {error}") from None
            time.sleep(0.2)

    def _log_tail(self, program, lines=20):
        with open(f"{self.dir}/{os.path.basename(program)}.log", encoding="utf-8", errors="replace") as f:
            return "".join(f.readlines()[-lines:])

    def _tls(self):
        return ssl.create_default_context(cafile=f"{self.dir}/certs/apiserver.crt")

    def _write_kubeconfig(self):
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {
                "server": f"https://127.0.0.1:{self.port}",
                "certificate-authority": f"{self.dir}/certs/apiserver.crt"}}],
            "users": [{"name": "admin", "user": {"token": ADMIN_TOKEN}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
        }
        with open(f"{self.dir}/kubeconfig", "w", encoding="utf-8") as f:
            json.dump(config, f)
