"""A broker of our own and its Kinesis door, spoken to without an SDK: what no SDK would send is sent
as it is, in JSON and CBOR, signed by whom one likes, one by one or many at once on one connection."""
import base64
import datetime
import hashlib
import hmac
import json
import os
import pathlib
import shutil
import socket
import sys

import cbor

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "kinesis"))
import broker as alone  # noqa: E402  one broker alone, as the clients' tests have it

ROOT = pathlib.Path(__file__).resolve().parents[3]
BIN = alone.BIN
ACCOUNT, REGION = "123456789012", "eu-central-1"
TARGET = "Kinesis_20131202."
JSON, CBOR = "application/x-amz-json-1.1", "application/x-amz-cbor-1.1"
FORMATS = {"json": JSON, "cbor": CBOR}
OWNER, NOBODY = ("AKIAOWNER", "owner-secret"), ("AKIANOBODY", "nobody-secret")
# Where it is asked who may what, the owner may do everything and nobody nothing.
USERS = "authorize: %s\nsuperUsers: [owner]\nusers:\n  - {name: owner, password: o}\n  - {name: nobody, password: n}\n"


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.raw = status, headers, body
        kind = headers.get("content-type", "")
        self.body = {}
        if body and kind == JSON:
            self.body = json.loads(body)
        elif body and kind == CBOR:
            self.body = cbor.loads(body)

    @property
    def type(self):
        """The error's; empty: a success."""
        return "" if self.status == 200 else self.body.get("__type", "")

    @property
    def message(self):
        # AWS's own spelling for what its parser refuses.
        return self.body.get("Message" if self.type == "SerializationException" else "message", "")

    def __repr__(self):
        return f"{self.status} {self.type}: {self.message[:400]}" if self.type else \
            f"{self.status} {str(self.body or self.raw)[:400]}"


def plain(value):
    """A request as JSON writes it."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, cbor.Time):
        return value / 1000
    if isinstance(value, list):
        return [plain(v) for v in value]
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return value


def encode(request, form):
    if isinstance(request, bytes):
        return request
    return json.dumps(plain(request)).encode() if form == "json" else cbor.dumps(request)


def signed(headers, body, key, secret, when=None):
    """The headers with a Signature Version 4 of all of them."""
    now = when or datetime.datetime.now(datetime.timezone.utc)
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    headers = {**headers, "x-amz-date": stamp}
    names = sorted(headers)
    canonical = "\n".join(["POST", "/", ""] + [f"{n}:{headers[n]}" for n in names] +
                          ["", ";".join(names), hashlib.sha256(body).hexdigest()])
    scope = f"{day}/{REGION}/kinesis/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    made = b"AWS4" + secret.encode()
    for part in (day, REGION, "kinesis", "aws4_request", text):
        made = hmac.new(made, part.encode(), hashlib.sha256).digest()
    headers["authorization"] = (f"AWS4-HMAC-SHA256 Credential={key}/{scope}, "
                                f"SignedHeaders={';'.join(names)}, Signature={made.hex()}")
    return headers


class Door:
    """One connection, kept. Answers come in the order of the requests."""

    def __init__(self, port):
        self.port = port
        self.socket = self.input = None

    def close(self):
        if self.socket:
            self.input.close()
            self.socket.close()
            self.socket = None

    def connect(self):
        if self.socket is None:
            self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=60)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.input = self.socket.makefile("rb")

    def bytes_of(self, headers, body, by=OWNER, when=None):
        headers = {"host": f"127.0.0.1:{self.port}", **headers}
        if by:
            headers = signed(headers, body, *by, when)
        lines = [f"{name}: {value}" for name, value in headers.items()]
        return ("POST / HTTP/1.1\r\n" + "\r\n".join(lines) +
                f"\r\ncontent-length: {len(body)}\r\n\r\n").encode() + body

    def exchange(self, requests):
        """Sends whole requests at once, then reads as many answers."""
        self.connect()
        self.socket.sendall(b"".join(requests))
        return [self.read() for _ in requests]

    def read(self):
        line = self.input.readline()
        assert line, "the connection was closed without an answer"
        status, headers = int(line.split()[1]), {}
        while (line := self.input.readline().strip()):
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        body = self.input.read(int(headers.get("content-length", 0)))
        if headers.get("connection") == "close":
            self.close()
        return Answer(status, headers, body)

    def raw(self, headers, body, by=OWNER, when=None):
        return self.exchange([self.bytes_of(headers, body, by, when)])[0]

    def request(self, operation, request, form="json", by=OWNER):
        headers = {"content-type": FORMATS[form], "x-amz-target": TARGET + operation}
        return self.bytes_of(headers, encode(request, form), by)

    def call(self, operation, request, form="json", by=OWNER):
        answer = self.exchange([self.request(operation, request, form, by)])[0]
        check_envelope(answer, form)
        return answer

    def burst(self, calls):
        """Several (operation, request) at once, on one connection."""
        return self.exchange([self.request(*call) for call in calls])

    def must(self, operation, **request):
        answer = self.call(operation, request)
        assert answer.status == 200, f"{operation} {request}: {answer}"
        return answer.body


def check_envelope(answer, form):
    """What every answer of AWS has, whatever it says."""
    headers = answer.headers
    assert headers.get("content-type") == FORMATS[form], headers
    assert len(headers.get("x-amzn-requestid", "")) == 36, headers
    assert headers.get("x-amz-id-2") and headers.get("date"), headers
    if answer.status != 200:
        assert headers.get("x-amzn-errortype") == answer.type != "", (headers, answer)


class Broker(alone.Broker):
    """A context: one `sluice-broker --dev` that verifies signatures. Its folder stays until forget()."""

    def __init__(self, *settings, authorize=False):
        super().__init__(*settings, verify=False)
        (self.dir / "users.yaml").write_text(USERS % str(authorize).lower())
        (self.dir / "keys.yaml").write_text("".join(
            f'- {{accessKeyId: {key}, secretAccessKey: {secret}, accountId: "{ACCOUNT}", '
            f"user: {key[4:].lower()}}}\n" for key, secret in (OWNER, NOBODY)))
        self.settings += ["--users", self.dir / "users.yaml",
                          "--kinesis-credentials", self.dir / "keys.yaml"]
        self.door = Door(self.ports["kinesis"])

    def __exit__(self, *_):
        self.door.close()
        self.stop()

    def forget(self):
        shutil.rmtree(self.dir)
