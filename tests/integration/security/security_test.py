"""One broker with five doors and six users; confluent-kafka, kafka-python, boto3, openssl and the
sluice command line as clients. Every test prints one line; the last is "N passed, N failed"."""
import itertools
import os
import pathlib
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.request

import boto3
import botocore.config
import botocore.exceptions
import kafka
import kafka.admin
import kafka.protocol.api
import kafka.protocol.types as types
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (AclBinding, AclBindingFilter, AclOperation, AclPermissionType,
                                   AdminClient, NewTopic, ResourcePatternType, ResourceType,
                                   ScramCredentialInfo, ScramMechanism, UserScramCredentialDeletion,
                                   UserScramCredentialUpsertion)

ROOT = pathlib.Path(__file__).resolve().parents[3]
BIN = pathlib.Path(os.environ.get("SLUICE_BIN", ROOT / "build/release/bin"))
USERS = """
superUsers: [admin, carol, owner]
users:
  - {name: admin, password: admin-password}
  - name: alice
    password: "p=a,ss"
    acls:
      - {resource: Topic, name: orders, operations: [Read, Write]}
      - {resource: Group, name: alice-, prefix: true, operations: [Read]}
  - name: bob
    password: bob-password
    acls:
      - {resource: Topic, name: orders, operations: [Read]}
      - {resource: Group, name: bob-, prefix: true, operations: [Read]}
      - {resource: Topic, name: secret, operations: [All], deny: true}
  - name: writer
    accessKeys: [{accessKeyId: AKIAWRITER, secretAccessKey: writer-secret}]
    acls:
      - {resource: Topic, name: clicks, operations: [Write, Describe]}
      - {resource: Topic, name: orders, operations: [Write]}
  - name: slow
    password: slow-password
    accessKeys: [{accessKeyId: AKIASLOW, secretAccessKey: slow-secret}]
    acls:
      - {resource: Topic, name: "*", operations: [Read, Write, Describe]}
      - {resource: Group, name: slow-, prefix: true, operations: [Read]}
  - name: owner
    accessKeys: [{accessKeyId: AKIAOWNER, secretAccessKey: owner-secret}]
"""


def openssl(*args):
    subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True)


class Float64(types.AbstractType):
    @classmethod
    def encode(cls, value):
        return struct.pack(">d", value)

    @classmethod
    def decode(cls, data):
        return struct.unpack(">d", data.read(8))[0]


ENTITY = types.Array(("entity_type", types.String("utf-8")), ("entity_name", types.String("utf-8")))


class AlterClientQuotasResponse(kafka.protocol.api.Response):
    """The client libraries here have no such request: its version 0, by hand."""
    API_KEY, API_VERSION = 49, 0
    SCHEMA = types.Schema(
        ("throttle_time_ms", types.Int32),
        ("entries", types.Array(("error_code", types.Int16),
                                ("error_message", types.String("utf-8")), ("entity", ENTITY))))


class AlterClientQuotasRequest(kafka.protocol.api.Request):
    API_KEY, API_VERSION, RESPONSE_TYPE = 49, 0, AlterClientQuotasResponse
    SCHEMA = types.Schema(
        ("entries", types.Array(
            ("entity", ENTITY),
            ("ops", types.Array(("key", types.String("utf-8")), ("value", Float64),
                                ("remove", types.Boolean))))),
        ("validate_only", types.Boolean))


class Broker:
    """The process, its certificates and its ports."""

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="sluice-it-"))
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", self.dir / "ca.key",
                "-out", self.dir / "ca.crt", "-subj", "/CN=test-ca", "-days", "2")
        self.certificate("server", "localhost", "subjectAltName=DNS:localhost,IP:127.0.0.1")
        self.certificate("carol", "carol")
        (self.dir / "users.yaml").write_text(USERS)
        self.ports = {name: free_port() for name in
                      ("scram", "tls", "cert", "grpc", "kinesis", "metrics")}
        self.start()

    def certificate(self, file, name, extension="basicConstraints=CA:FALSE"):
        base = self.dir / file
        (self.dir / "ext").write_text(extension + "\n")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{base}.new.key", "-out",
                f"{base}.csr", "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", f"{base}.csr", "-CA", self.dir / "ca.crt", "-CAkey",
                self.dir / "ca.key", "-CAcreateserial", "-days", "2", "-out", f"{base}.new.crt",
                "-extfile", self.dir / "ext")
        os.rename(f"{base}.new.key", f"{base}.key")
        os.rename(f"{base}.new.crt", f"{base}.crt")

    def start(self):
        at = {name: f"127.0.0.1:{port}" for name, port in self.ports.items()}
        self.log = (self.dir / "log").open("a")
        self.process = subprocess.Popen(
            [BIN / "sluice-broker", "--dev", "--data", self.dir / "data",
             "--kafka", at["scram"] + ";sasl",
             "--kafka-listeners", f"tls={at['tls']};tls;sasl,cert={at['cert']};mtls",
             "--grpc", at["grpc"] + ";tls", "--kinesis", at["kinesis"] + ";tls", "--metrics", at["metrics"],
             "--client-tls-cert", self.dir / "server.crt", "--client-tls-key",
             self.dir / "server.key", "--client-tls-ca", self.dir / "ca.crt",
             "--users", self.dir / "users.yaml"], stdout=self.log, stderr=self.log)
        wait_for(lambda: self.process.poll() is not None or self.ready(), "the broker to be ready")
        assert self.process.poll() is None, (self.dir / "log").read_text()[-2000:]

    def ready(self):
        try:
            return urllib.request.urlopen(
                f"http://127.0.0.1:{self.ports['metrics']}/readyz", timeout=2).status == 200
        except OSError:
            return False

    def restart(self):
        self.process.terminate()
        self.process.wait(60)
        self.start()

    def stop(self):
        self.process.terminate()
        self.process.wait(60)
        shutil.rmtree(self.dir)

    def metric(self, name, **labels):
        """The sum of the samples that have these labels."""
        text = urllib.request.urlopen(
            f"http://127.0.0.1:{self.ports['metrics']}/metrics", timeout=10).read().decode()
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
                   if line.startswith((name + "{", name + " "))
                   and all(f'{key}="{value}"' in line for key, value in labels.items()))

    def throttled(self, quota):
        return self.metric("sluice_client_quota_throttled_requests_total", quota=quota, user="slow")

    def kinesis(self, key, secret):
        return boto3.client(
            "kinesis", endpoint_url=f"https://127.0.0.1:{self.ports['kinesis']}",
            verify=str(self.dir / "ca.crt"), region_name="eu-central-1", aws_access_key_id=key, aws_secret_access_key=secret,
            config=botocore.config.Config(retries={"max_attempts": 0}))

    def set_quota(self, entity, key, value):
        """As kafka-configs.sh does it; a value of None takes the quota away. Gives what was told."""
        admin = kafka.admin.KafkaAdminClient(
            bootstrap_servers=f"127.0.0.1:{self.ports['scram']}", security_protocol="SASL_PLAINTEXT",
            sasl_mechanism="SCRAM-SHA-256", sasl_plain_username="admin",
            sasl_plain_password="admin-password", api_version_auto_timeout_ms=20000)
        try:
            request = AlterClientQuotasRequest(
                [(list(entity.items()), [(key, value or 0.0, value is None)])], False)
            node = admin._client.least_loaded_node()
            wait_for(lambda: admin._client.ready(node) or admin._client.poll(timeout_ms=100) is None,
                     "a connection")
            future = admin._client.send(node, request)
            admin._client.poll(future=future)
            assert future.succeeded(), future.exception
            (error, message, _), = future.value.entries
            return error, message
        finally:
            admin.close()

    def scram(self, user, password, listener="scram", mechanism="SCRAM-SHA-512", **more):
        tls = listener != "scram"
        conf = {"bootstrap.servers": f"127.0.0.1:{self.ports[listener]}",
                "security.protocol": "SASL_SSL" if tls else "SASL_PLAINTEXT",
                "sasl.mechanism": mechanism, "sasl.username": user, "sasl.password": password,
                "log_level": 0, **more}
        if tls:
            conf["ssl.ca.location"] = str(self.dir / "ca.crt")
        return conf

    def admin(self):
        return AdminClient(self.scram("admin", "admin-password"))

    def cert(self, name="carol"):
        return {"bootstrap.servers": f"127.0.0.1:{self.ports['cert']}", "security.protocol": "SSL",
                "ssl.ca.location": str(self.dir / "ca.crt"), "log_level": 0,
                "ssl.certificate.location": str(self.dir / f"{name}.crt"),
                "ssl.key.location": str(self.dir / f"{name}.key")}

    def sluice(self, *args, user=None, password="", stdin=None):
        command = [BIN / "sluice", "--broker", f"localhost:{self.ports['grpc']}",
                   "--tls-ca", self.dir / "ca.crt", *args]
        if user:
            command += ["--user", user]
        return subprocess.run([str(c) for c in command], input=stdin, capture_output=True,
                              text=True, timeout=60,
                              env={**os.environ, "SLUICE_PASSWORD": password})


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(condition, what, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(0.05)


def create(admin, *names):
    for name, done in admin.create_topics([NewTopic(n, 1, 1) for n in names]).items():
        done.result(20)


def produce(conf, topic, values):
    """The errors of the deliveries that failed, by name."""
    errors = []
    producer = Producer({**conf, "message.timeout.ms": 20000})
    for value in values:
        producer.produce(topic, value,
                         on_delivery=lambda e, m: errors.append(e.name()) if e else None)
    assert producer.flush(30) == 0, "deliveries without an answer"
    return errors


def read(conf, topic, count, seconds=20):
    group = conf.get("sasl.username", "carol") + "-reader"
    consumer = Consumer({**conf, "group.id": group, "enable.auto.commit": False,
                         "auto.offset.reset": "earliest"})
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        got, end = [], time.monotonic() + seconds
        while len(got) < count and time.monotonic() < end:
            message = consumer.poll(0.5)
            if message is None:
                continue
            if message.error():
                raise KafkaException(message.error())
            got.append(message.value())
        return got
    finally:
        consumer.close()


def refused(call, *codes):
    try:
        result = call()
    except KafkaException as error:
        assert error.args[0].code() in codes, error
        return
    raise AssertionError(f"was not refused: {result}")


def metadata_error(conf):
    """What the client is told when it connects."""
    told = []
    admin = AdminClient({**conf, "error_cb": lambda e: told.append(e.code())})
    try:
        admin.list_topics(timeout=3)
    except KafkaException:
        wait_for(lambda: admin.poll(0.1) or told, "the client to be told")
    return told


# ---- tests -------------------------------------------------------------------------------------

def test_scram_lets_the_right_password_in(broker):
    for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
        for listener in ("scram", "tls"):
            md = AdminClient(broker.scram("admin", "admin-password", listener,
                                          mechanism)).list_topics(timeout=20)
            # Told the address of the listener they came by.
            assert [b.port for b in md.brokers.values()] == [broker.ports[listener]], md.brokers


def test_wrong_passwords_and_unknown_users_are_refused(broker):
    for user, password in (("admin", "wrong"), ("nobody", "admin-password")):
        told = metadata_error(broker.scram(user, password))
        assert KafkaError._AUTHENTICATION in told, (user, told)


def test_plain_only_under_tls(broker):
    AdminClient(broker.scram("alice", "p=a,ss", "tls", "PLAIN")).list_topics(timeout=20)
    assert KafkaError._AUTHENTICATION in metadata_error(
        broker.scram("alice", "p=a,ss", "scram", "PLAIN"))
    assert KafkaError._AUTHENTICATION in metadata_error(
        broker.scram("alice", "wrong", "tls", "PLAIN"))


def test_kafka_python_authenticates_too(broker):
    consumer = kafka.KafkaConsumer(
        bootstrap_servers=f"127.0.0.1:{broker.ports['tls']}", security_protocol="SASL_SSL",
        sasl_mechanism="SCRAM-SHA-256", sasl_plain_username="admin",
        sasl_plain_password="admin-password", ssl_cafile=str(broker.dir / "ca.crt"),
        api_version_auto_timeout_ms=20000)
    consumer.topics()
    consumer.close()


def test_a_client_certificate_names_its_user(broker):
    create(AdminClient(broker.cert()), "by-carol")
    assert produce(broker.cert(), "by-carol", [b"x" * 100000] * 50) == []
    assert len(read(broker.cert(), "by-carol", 50)) == 50


def test_nobody_without_a_certificate_of_the_ca(broker):
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", broker.dir / "mallory.key",
            "-out", broker.dir / "mallory.crt", "-subj", "/CN=carol", "-days", "2")
    for conf in (broker.cert("mallory"),
                 {k: v for k, v in broker.cert().items() if not k.startswith("ssl.c")
                  and k != "ssl.key.location"} | {"ssl.ca.location": str(broker.dir / "ca.crt")}):
        refused(lambda: AdminClient(conf).list_topics(timeout=3), KafkaError._TRANSPORT)


def test_acls_decide(broker):
    create(broker.admin(), "orders", "secret")
    alice, bob = broker.scram("alice", "p=a,ss"), broker.scram("bob", "bob-password", "tls")
    assert produce(alice, "orders", [b"1", b"2", b"3"]) == []
    assert read(alice, "orders", 3) == [b"1", b"2", b"3"]
    assert read(bob, "orders", 3) == [b"1", b"2", b"3"]
    no = KafkaError.TOPIC_AUTHORIZATION_FAILED
    assert set(produce({**bob, "enable.idempotence": False}, "orders", [b"4"])) == {
        "TOPIC_AUTHORIZATION_FAILED"}
    hidden = AdminClient(bob).list_topics("secret", timeout=20).topics["secret"]
    assert hidden.error.code() == no, hidden.error
    refused(lambda: create(AdminClient(alice), "mine"), no)
    admin = AdminClient(alice)  # kept: its futures end with it
    refused(lambda: [f.result(20) for f in admin.delete_topics(["orders"]).values()], no)
    assert "secret" not in AdminClient(alice).list_topics(timeout=20).topics
    assert {"orders", "secret"} <= set(broker.admin().list_topics(timeout=20).topics)


def acl_filter(**parts):
    anything = {"restype": ResourceType.ANY, "name": None,
                "resource_pattern_type": ResourcePatternType.ANY, "principal": None, "host": None,
                "operation": AclOperation.ANY, "permission_type": AclPermissionType.ANY}
    return AclBindingFilter(**{**anything, **parts})


def read_new(principal):
    return AclBinding(ResourceType.TOPIC, "new", ResourcePatternType.LITERAL, principal, "*",
                      AclOperation.READ, AclPermissionType.ALLOW)


def words(acls):
    return {(a.restype.name, a.name, a.resource_pattern_type.name, a.principal, a.host,
             a.operation.name, a.permission_type.name) for a in acls}


def test_acls_are_described(broker):
    admin = broker.admin()
    of_bob = {("TOPIC", "orders", "LITERAL", "User:bob", "*", "READ", "ALLOW"),
              ("GROUP", "bob-", "PREFIXED", "User:bob", "*", "READ", "ALLOW"),
              ("TOPIC", "secret", "LITERAL", "User:bob", "*", "ALL", "DENY")}
    assert words(admin.describe_acls(acl_filter(principal="User:bob")).result(20)) == of_bob
    everybody = words(admin.describe_acls(acl_filter()).result(20))
    assert of_bob < everybody and len(everybody) == 13, everybody
    covering = words(admin.describe_acls(acl_filter(
        restype=ResourceType.TOPIC, name="orders",
        resource_pattern_type=ResourcePatternType.MATCH)).result(20))
    users = {"User:alice", "User:bob", "User:writer", "User:slow"}
    assert {a[3] for a in covering} == users, covering
    assert {a[1] for a in covering} == {"orders", "*"}, covering
    # Without the right the answer is CLUSTER_AUTHORIZATION_FAILED (acls_test.cc); librdkafka drops the code.
    alice = AdminClient(broker.scram("alice", "p=a,ss"))
    assert alice.describe_acls(acl_filter()).result(20) == []


def test_acls_of_a_users_file_are_changed_there(broker):
    admin = broker.admin()
    acl, group = read_new("User:bob"), read_new("Group:bob")
    before = words(admin.describe_acls(acl_filter()).result(20))
    for change in (lambda: admin.create_acls([acl])[acl].result(20),
                   lambda: admin.delete_acls([f := acl_filter(principal="User:bob")])[f].result(20)):
        try:
            raise AssertionError(f"was not refused: {change()}")
        except KafkaException as error:
            assert error.args[0].code() == KafkaError.POLICY_VIOLATION, error
            assert "--users" in error.args[0].str(), error
    refused(lambda: admin.create_acls([group])[group].result(20), KafkaError.INVALID_REQUEST)
    alice = AdminClient(broker.scram("alice", "p=a,ss"))
    refused(lambda: alice.create_acls([acl])[acl].result(20),
            KafkaError.CLUSTER_AUTHORIZATION_FAILED)
    assert words(admin.describe_acls(acl_filter()).result(20)) == before


def test_scram_credentials_are_described_and_not_altered(broker):
    admin = broker.admin()
    both = {(ScramMechanism.SCRAM_SHA_256, 4096), (ScramMechanism.SCRAM_SHA_512, 4096)}
    told = admin.describe_user_scram_credentials().result(20)
    assert set(told) == {"admin", "alice", "bob", "slow"}, told
    assert {(i.mechanism, i.iterations) for i in told["bob"].scram_credential_infos} == both
    answers = admin.describe_user_scram_credentials(["alice", "writer"])
    assert answers["alice"].result(20).user == "alice"
    refused(lambda: answers["writer"].result(20), KafkaError.RESOURCE_NOT_FOUND)
    sha256, sha512 = ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512
    alterations = [
        (UserScramCredentialUpsertion("bob", ScramCredentialInfo(sha256, 4096), b"new"),
         KafkaError.POLICY_VIOLATION),
        (UserScramCredentialUpsertion("alice", ScramCredentialInfo(sha256, 100), b"new"),
         KafkaError.UNACCEPTABLE_CREDENTIAL),
        (UserScramCredentialDeletion("slow", sha512), KafkaError.POLICY_VIOLATION),
        (UserScramCredentialDeletion("writer", sha512), KafkaError.RESOURCE_NOT_FOUND)]
    futures = admin.alter_user_scram_credentials([alteration for alteration, _ in alterations])
    for alteration, code in alterations:
        refused(lambda: futures[alteration.user].result(20), code)
    # Nothing has changed.
    AdminClient(broker.scram("bob", "bob-password")).list_topics(timeout=20)


def test_groups_need_their_right(broker):
    alice = broker.scram("alice", "p=a,ss", **{"auto.offset.reset": "earliest"})
    consumer = Consumer({**alice, "group.id": "alice-1"})
    consumer.subscribe(["orders"])
    got, end = 0, time.monotonic() + 30
    while got < 3 and time.monotonic() < end:
        message = consumer.poll(0.5)
        got += bool(message and not message.error())
    consumer.close()
    assert got == 3, got
    other = Consumer({**alice, "group.id": "bobs"})
    other.subscribe(["orders"])
    codes, end = set(), time.monotonic() + 30
    while KafkaError.GROUP_AUTHORIZATION_FAILED not in codes and time.monotonic() < end:
        message = other.poll(0.5)
        if message is not None and message.error():
            codes.add(message.error().code())
    other.close()
    assert KafkaError.GROUP_AUTHORIZATION_FAILED in codes, codes


def test_nothing_is_served_before_authentication(broker):
    frame = (b"\x00\x03\x00\x01\x00\x00\x00\x07\xff\xff" + b"\xff\xff\xff\xff")  # Metadata v1
    with socket.create_connection(("127.0.0.1", broker.ports["scram"]), 10) as s:
        s.settimeout(10)
        s.sendall(len(frame).to_bytes(4, "big") + frame)
        assert s.recv(100) == b"", "an answer"


def test_a_tls_client_that_goes_in_the_middle_ends_no_broker(broker):
    """OpenSSL writes without MSG_NOSIGNAL: the broker died of SIGPIPE."""
    context = ssl.create_default_context(cafile=str(broker.dir / "ca.crt"))
    context.load_cert_chain(str(broker.dir / "carol.crt"), str(broker.dir / "carol.key"))
    # Fetch v4 of all of by-carol, again and again, and nobody who reads the answers.
    topic = b"by-carol"
    body = (b"\x00\x01\x00\x04\x00\x00\x00\x01\xff\xff" + b"\xff\xff\xff\xff" + b"\x00\x00\x00\x00"
            + b"\x00\x00\x00\x01" + b"\x03\x00\x00\x00" + b"\x00" + b"\x00\x00\x00\x01"
            + len(topic).to_bytes(2, "big") + topic + b"\x00\x00\x00\x01" + b"\x00\x00\x00\x00"
            + b"\x00" * 8 + b"\x03\x00\x00\x00")
    for _ in range(10):
        raw = socket.create_connection(("127.0.0.1", broker.ports["cert"]), 10)
        s = context.wrap_socket(raw, server_hostname="localhost")
        s.sendall((len(body).to_bytes(4, "big") + body) * 20)
        s.recv(1)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        s.close()
    assert len(read(broker.cert(), "by-carol", 50)) == 50
    assert broker.process.poll() is None


def test_garbage_on_a_tls_port_is_harmless(broker):
    garbage = (b"\x00" * 1000, b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"a" * 70000)
    for garbage, port in itertools.product(garbage, ("tls", "kinesis")):
        with socket.create_connection(("127.0.0.1", broker.ports[port]), 10) as s:
            s.settimeout(10)
            try:
                s.sendall(garbage)
                s.shutdown(socket.SHUT_WR)
                while s.recv(4096):
                    pass
            except OSError:  # it has hung up already
                pass
    AdminClient(broker.scram("admin", "admin-password", "tls")).list_topics(timeout=20)
    broker.kinesis("AKIAOWNER", "owner-secret").list_streams()


def test_kinesis_speaks_https(broker):
    """The version by ALPN; large bodies both ways; and nobody without TLS."""
    context = ssl.create_default_context(cafile=str(broker.dir / "ca.crt"))
    for offered, chosen in ((["h2", "http/1.1"], "h2"), (["http/1.1"], "http/1.1"), (["x"], None), (None, None)):
        if offered:
            context.set_alpn_protocols(offered)
        else:
            context = ssl.create_default_context(cafile=str(broker.dir / "ca.crt"))
        with socket.create_connection(("127.0.0.1", broker.ports["kinesis"]), 10) as raw:
            with context.wrap_socket(raw, server_hostname="localhost") as s:
                assert s.selected_alpn_protocol() == chosen, (offered, s.selected_alpn_protocol())
    owner = broker.kinesis("AKIAOWNER", "owner-secret")
    owner.create_stream(StreamName="encrypted", ShardCount=1)
    owner.get_waiter("stream_exists").wait(StreamName="encrypted", WaiterConfig={"Delay": 1})
    sent = [os.urandom(900_000), b"small"]  # within a shard's second
    for data in sent:
        owner.put_record(StreamName="encrypted", Data=data, PartitionKey="k")
    at = owner.get_shard_iterator(StreamName="encrypted", ShardId="shardId-000000000000",
                                  ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
    got = []
    while len(got) < len(sent):
        answer = owner.get_records(ShardIterator=at)
        got += [r["Data"] for r in answer["Records"]]
        at = answer["NextShardIterator"]
    assert got == sent
    owner.delete_stream(StreamName="encrypted")
    plain = boto3.client("kinesis", endpoint_url=f"http://127.0.0.1:{broker.ports['kinesis']}",
                         region_name="eu-central-1", aws_access_key_id="AKIAOWNER",
                         aws_secret_access_key="owner-secret",
                         config=botocore.config.Config(retries={"max_attempts": 0}))
    try:
        plain.list_streams()
        raise AssertionError("it was answered without TLS")
    except (botocore.exceptions.ConnectionClosedError, botocore.exceptions.HTTPClientError):
        pass


def test_a_renewed_certificate_is_taken_without_a_restart(broker):
    def serial(door):
        context = ssl.create_default_context(cafile=str(broker.dir / "ca.crt"))
        with socket.create_connection(("127.0.0.1", broker.ports[door]), 10) as raw:
            with context.wrap_socket(raw, server_hostname="localhost") as s:
                return s.getpeercert()["serialNumber"]
    before = serial("tls")
    assert serial("kinesis") == before
    broker.certificate("server", "localhost", "subjectAltName=DNS:localhost,IP:127.0.0.1")
    for door in ("tls", "kinesis"):
        wait_for(lambda: serial(door) != before, f"the new certificate at {door}", 40)


def test_clients_ca_is_replaced_without_a_restart_or_an_ended_connection(broker):
    """The phases of a rotation on a listener that asks for certificates: both CAs, then the new one."""
    old = Producer(broker.cert())
    assert produce(broker.cert(), "by-carol", [b"before"]) == []
    old_ca = (broker.dir / "ca.crt").read_text()
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", broker.dir / "next.key",
            "-out", broker.dir / "next.crt", "-subj", "/CN=next-ca", "-days", "2")
    next_ca = (broker.dir / "next.crt").read_text()
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", broker.dir / "next-carol.key",
            "-out", broker.dir / "next-carol.csr", "-subj", "/CN=carol")
    openssl("x509", "-req", "-in", broker.dir / "next-carol.csr", "-CA", broker.dir / "next.crt",
            "-CAkey", broker.dir / "next.key", "-CAcreateserial", "-days", "2", "-out",
            broker.dir / "next-carol.crt")
    trusted = broker.dir / "ca.crt"

    def trust(text):
        (broker.dir / "ca.new").write_text(text)
        os.rename(broker.dir / "ca.new", trusted)

    def server_ca(conf):  # clients verify the server by the first CA throughout
        return {**conf, "ssl.ca.location": str(broker.dir / "server-ca.crt")}
    (broker.dir / "server-ca.crt").write_text(old_ca)
    by_next = server_ca(broker.cert("next-carol"))

    def accepted(conf):
        try:
            AdminClient(conf).list_topics(timeout=3)
            return True
        except KafkaException as error:
            assert error.args[0].code() == KafkaError._TRANSPORT, error
            return False
    assert not accepted(by_next)
    trust(old_ca + next_ca)
    wait_for(lambda: accepted(by_next), "the new CA to be trusted", 40)
    assert accepted(server_ca(broker.cert()))
    # Connections of before live on through all of it.
    told = []
    old.produce("by-carol", b"meanwhile", on_delivery=lambda e, m: told.append(e))
    assert old.flush(30) == 0 and told == [None], told
    trust(next_ca)
    wait_for(lambda: not accepted(server_ca(broker.cert())), "the old CA to be dropped", 40)
    assert accepted(by_next)
    old.produce("by-carol", b"after", on_delivery=lambda e, m: told.append(e))
    assert old.flush(30) == 0 and told == [None, None], told
    trust(old_ca)
    wait_for(lambda: accepted(broker.cert()), "the first CA again", 40)


def test_how_long_certificates_last_is_a_metric(broker):
    page = urllib.request.urlopen(f"http://127.0.0.1:{broker.ports['metrics']}/metrics",
                                  timeout=10).read().decode()
    name = 'sluice_broker_certificate_seconds_left{certificate="listeners"} '
    left = [float(line[len(name):]) for line in page.splitlines() if line.startswith(name)]
    assert len(left) == 1 and 86400 < left[0] <= 2 * 86400, left


def test_grpc_has_the_same_users_and_rights(broker):
    everything = broker.sluice("stream", "list", user="admin", password="admin-password")
    assert "orders" in everything.stdout, everything
    listed = broker.sluice("stream", "list", user="alice", password="p=a,ss").stdout
    assert "orders" in listed and "secret" not in listed, listed
    wrong = broker.sluice("stream", "describe", "orders", user="admin", password="wrong")
    assert wrong.returncode != 0 and "wrong user or password" in wrong.stderr, wrong
    nobody = broker.sluice("stream", "describe", "orders")
    assert nobody.returncode != 0 and "User:ANONYMOUS" in nobody.stderr, nobody
    denied = broker.sluice("stream", "delete", "orders", "--yes", user="alice", password="p=a,ss")
    assert denied.returncode != 0 and "no right Delete" in denied.stderr, denied
    sent = broker.sluice("produce", "orders", user="alice", password="p=a,ss", stdin="by grpc\n")
    assert sent.returncode == 0, sent
    refused_ = broker.sluice("produce", "orders", user="bob", password="bob-password", stdin="x\n")
    assert refused_.returncode != 0 and "no right Write" in refused_.stderr, refused_
    got = broker.sluice("consume", "orders", "--from-beginning", "--until-end", user="bob",
                        password="bob-password")
    assert "by grpc" in got.stdout, got


def aws_error(call):
    """Type and message of AWS's refusal."""
    try:
        result = call()
    except botocore.exceptions.ClientError as error:
        return error.response["Error"]["Code"], error.response["Error"]["Message"]
    raise AssertionError(f"was not refused: {result}")


def test_kinesis_has_the_same_users_and_rights(broker):
    owner = broker.kinesis("AKIAOWNER", "owner-secret")
    writer = broker.kinesis("AKIAWRITER", "writer-secret")
    owner.create_stream(StreamName="clicks", ShardCount=1)
    sent = writer.put_record(StreamName="clicks", Data=b"by kinesis", PartitionKey="k")
    code, message = aws_error(lambda: writer.get_shard_iterator(
        StreamName="clicks", ShardId=sent["ShardId"], ShardIteratorType="TRIM_HORIZON"))
    assert code == "AccessDeniedException", code
    assert message == ("User: arn:aws:iam::000000000000:user/writer is not authorized to perform: "
                       "kinesis:GetShardIterator on resource: arn:aws:kinesis:eu-central-1:"
                       "000000000000:stream/clicks because no identity-based policy allows the "
                       "kinesis:GetShardIterator action"), message
    iterator = owner.get_shard_iterator(StreamName="clicks", ShardId=sent["ShardId"],
                                        ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
    assert aws_error(lambda: writer.get_records(ShardIterator=iterator))[0] == "AccessDeniedException"
    assert [r["Data"] for r in owner.get_records(ShardIterator=iterator)["Records"]] == [b"by kinesis"]
    assert sorted(writer.list_streams()["StreamNames"]) == ["clicks", "orders"]
    for denied in (lambda: writer.delete_stream(StreamName="clicks"),
                   lambda: writer.create_stream(StreamName="mine", ShardCount=1),
                   lambda: writer.put_record(StreamName="secret", Data=b"x", PartitionKey="k"),
                   lambda: writer.put_record(StreamName="is-not-there", Data=b"x", PartitionKey="k"),
                   writer.describe_limits):
        assert aws_error(denied)[0] == "AccessDeniedException"


def test_an_access_key_needs_its_secret(broker):
    assert aws_error(broker.kinesis("AKIAOWNER", "writer-secret").list_streams)[0] == \
        "InvalidSignatureException"
    assert aws_error(broker.kinesis("AKIANOBODY", "owner-secret").list_streams)[0] == \
        "UnrecognizedClientException"


def test_quotas_are_refused_by_name(broker):
    error, message = broker.set_quota({"ip": "10.0.0.1"}, "connection_creation_rate", 5.0)
    assert error == 35 and "'ip'" in message, (error, message)
    error, message = broker.set_quota({"user": "slow"}, "bytes", 5.0)
    assert error == 42 and "'bytes'" in message, (error, message)


def test_a_kafka_producer_over_its_quota_is_told_to_pause(broker):
    assert broker.set_quota({"user": "slow"}, "producer_byte_rate", 20000.0) == (0, None)
    before, mutes = broker.throttled("producer_byte_rate"), broker.metric(
        "sluice_kafka_connection_mutes_total")
    told = []
    producer = Producer({**broker.scram("slow", "slow-password"), "linger.ms": 100,
                         "throttle_cb": lambda event: told.append(event.throttle_time)})
    errors = []
    for _ in range(13):
        producer.produce("orders", b"x" * 20000,
                         on_delivery=lambda e, m: errors.append(e) if e else None)
    assert producer.flush(60) == 0 and errors == [], errors
    wait_for(lambda: producer.poll(0.1) is None or told, "the client to be told")
    assert max(told) > 0, told
    assert broker.throttled("producer_byte_rate") > before
    assert broker.metric("sluice_kafka_connection_mutes_total") > mutes
    assert broker.throttled("consumer_byte_rate") == 0


def test_a_kafka_consumer_over_its_quota_is_told_to_pause(broker):
    assert broker.set_quota({"user": "slow"}, "consumer_byte_rate", 20000.0) == (0, None)
    told = []
    consumer = Consumer({**broker.scram("slow", "slow-password"), "group.id": "slow-1",
                         "throttle_cb": lambda event: told.append(event.throttle_time)})
    try:
        consumer.assign([TopicPartition("by-carol", 0, 0)])
        wait_for(lambda: consumer.poll(0.1) is None and False or told, "the client to be told", 60)
    finally:
        consumer.close()
    assert broker.throttled("consumer_byte_rate") > 0


def test_grpc_clients_have_the_same_quotas(broker):
    assert broker.set_quota({"user": "slow"}, "producer_byte_rate", 100000.0) == (0, None)
    before = broker.throttled("producer_byte_rate")
    lines = ("y" * 10000 + "\n") * 110
    sent = broker.sluice("produce", "orders", user="slow", password="slow-password", stdin=lines)
    assert sent.returncode == 0, sent
    assert broker.throttled("producer_byte_rate") > before


def test_kinesis_clients_have_the_same_quotas(broker):
    assert broker.set_quota({"user": "slow"}, "producer_byte_rate", 1000.0) == (0, None)
    slow = broker.kinesis("AKIASLOW", "slow-secret")
    put = lambda: slow.put_record(StreamName="clicks", Data=b"z" * 100000, PartitionKey="k")
    before = broker.throttled("producer_byte_rate")
    code = message = None
    for _ in range(2):  # one may be let through
        try:
            put()
        except botocore.exceptions.ClientError as error:
            code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
    assert code == "ProvisionedThroughputExceededException", code
    assert "producer_byte_rate" in message and "slow" in message, message
    assert broker.throttled("producer_byte_rate") > before
    owner = broker.kinesis("AKIAOWNER", "owner-secret")
    owner.put_record(StreamName="clicks", Data=b"z" * 100000, PartitionKey="k")


def test_quotas_survive_a_restart(broker):
    in_force = broker.metric("sluice_client_quotas")
    assert in_force == 2, in_force
    broker.restart()
    wait_for(lambda: broker.metric("sluice_client_quotas") == in_force, "the quotas")
    slow = broker.kinesis("AKIASLOW", "slow-secret")
    for _ in range(2):
        try:
            slow.put_record(StreamName="clicks", Data=b"z" * 100000, PartitionKey="k")
        except botocore.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] == "ProvisionedThroughputExceededException"
            break
    else:
        raise AssertionError("was not refused")
    assert broker.set_quota({"user": "slow"}, "producer_byte_rate", None) == (0, None)
    assert broker.set_quota({"user": "slow"}, "consumer_byte_rate", None) == (0, None)
    assert broker.metric("sluice_client_quotas") == 0
    slow.put_record(StreamName="clicks", Data=b"z" * 100000, PartitionKey="k")


def main():
    tests = [f for name, f in globals().items() if name.startswith("test_")]
    wanted = sys.argv[1:]
    passed = failed = 0
    broker = Broker()
    try:
        for test in tests:
            if wanted and test.__name__ not in wanted:
                continue
            began = time.monotonic()
            try:
                test(broker)
                passed += 1
                print(f"ok   {test.__name__} ({time.monotonic() - began:.1f}s)", flush=True)
            except Exception:  # reported, and the next test runs
                failed += 1
                print(f"FAIL {test.__name__}\n{traceback.format_exc()}", flush=True)
        if failed:
            print("".join((broker.dir / "log").read_text().splitlines(True)[-20:]))
    finally:
        broker.stop()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
