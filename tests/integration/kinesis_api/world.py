"""What the hand-written tests share: one broker, its streams, and which error of which operation has
been provoked so far."""
import base64
import hashlib
import hmac
import json
import re
import struct
import subprocess
import time

import door
import table

ARN = table.STREAM_ARN
SHARD = "shardId-{:012}".format
KEY_SPACE = 1 << 128
NOT_FOUND, INVALID = "ResourceNotFoundException", "InvalidArgumentException"
IN_USE, LIMIT = "ResourceInUseException", "LimitExceededException"
THROTTLED, VALIDATION = "ProvisionedThroughputExceededException", "ValidationException"
DENIED, DRY_RUN = "AccessDeniedException", "DryRunOperationException"
EXPIRED_ITERATOR, EXPIRED_TOKEN = "ExpiredIteratorException", "ExpiredNextTokenException"
NOT_THERE = f"Stream {{}} under account {door.ACCOUNT} not found."


class World:
    def __init__(self, broker):
        self.broker, self.door = broker, broker.door
        self.provoked = set()
        self.made = 0

    def must(self, operation, **request):
        return self.door.must(operation, **request)

    def refused(self, kind, words, operation, **request):
        """The call is refused so; `words` is a regular expression for all of the message."""
        answer = self.door.call(operation, request)
        self.is_refusal(answer, kind, words, operation, request)
        return answer

    def is_refusal(self, answer, kind, words, operation, request=None):
        what = f"{operation} {str(request)[:300]}"
        assert answer.type == kind and answer.status == 400, f"{what}: expected {kind}, got {answer}"
        assert re.fullmatch(words, answer.message, re.DOTALL), \
            f"{what}: {kind} in other words: {answer.message[:600]}\n  than {words}"
        self.provoked.add((operation, kind))

    def make(self, name, shards=1, limits=None):
        self.must("CreateStream", StreamName=name, ShardCount=shards)
        if limits:
            self.sluice("stream", "update", name, "--limits", limits)
        return ARN + name

    def make_another(self, prefix):
        """A stream's name that no test has had. Small streams stay: to delete one takes half a
        second."""
        self.made += 1
        self.make(f"{prefix}-{self.made}")
        return f"{prefix}-{self.made}"

    def sluice(self, *args):
        done = subprocess.run([door.BIN / "sluice", "--broker",
                               f"127.0.0.1:{self.broker.ports['grpc']}", *args],
                              capture_output=True, timeout=60)
        assert done.returncode == 0, f"sluice {args}: {done.stderr.decode()}"

    def summary(self, name):
        return self.must("DescribeStreamSummary", StreamName=name)["StreamDescriptionSummary"]

    def wait_active(self, name, seconds=60):
        deadline = time.monotonic() + seconds
        while self.summary(name)["StreamStatus"] != "ACTIVE":
            assert time.monotonic() < deadline, f"{name} is not ACTIVE within {seconds} s"
            time.sleep(0.01)

    def iterator(self, name, kind="TRIM_HORIZON", shard=0, **more):
        return self.must("GetShardIterator", StreamName=name, ShardId=SHARD(shard),
                         ShardIteratorType=kind, **more)["ShardIterator"]

    # The broker's secret stands in the coordinator's file of an internal stream: with it a test
    # makes an iterator or a token of another time.
    def secret(self):
        for path in (self.broker.dir / "data/coordinator/streams").glob("*.json"):
            kept = json.loads(path.read_text())
            if kept["stream"] == "__sluice_kinesis":
                return kept["attributes"]["kinesis.secret"]
        raise AssertionError("there is no secret")

    def aged(self, payload, seconds, at):
        """What is sealed in a token that was issued so long before; `at` is where its time stands."""
        payload = bytearray(payload)
        issued = struct.unpack_from(">q", payload, at)[0]
        assert abs(issued / 1000 - time.time()) < 3600, "the time does not stand there"
        struct.pack_into(">q", payload, at, issued - seconds * 1000)
        tag = hmac.new(self.secret().encode(), payload, hashlib.sha256).digest()[:16]
        return bytes(payload) + tag

    def aged_iterator(self, iterator, seconds):
        payload = base64.b64decode(iterator)[:-16]
        return base64.b64encode(self.aged(payload, seconds, 8 + 1 + 16 + 4 + 8 + 8)).decode()

    def aged_page(self, token, seconds):
        payload = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))[:-16]
        sealed = self.aged(payload, seconds, len(payload) - 8)
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")
