"""A load of numbered records through the native API, and what became of each.

A producer is a call of Publish to one broker, with keys of its own. Its records have the numbers 0, 1, 2, …; the key is
the number modulo KEYS. Nothing is ever sent twice: where a call breaks, what it has no answer for may or may not be
stored, and a new call goes on with new keys.
"""
import collections
import random
import threading
import time

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

KEYS = 250
VALUE_BYTES = 1000
TICK_S = 0.05
UNANSWERED_RECORDS_MAX = 8000
STORED, UNKNOWN = 1, 2


class Api:
    """Publish by name, with message types that the broker describes."""

    def __init__(self, address):
        self.channel = grpc.insecure_channel(address)
        self.pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(self.channel))
        self.request, self.response, self.record = (
            message_factory.GetMessageClass(self.pool.FindMessageTypeByName(f"sluice.v1.{name}"))
            for name in ("PublishRequest", "PublishResponse", "Record"))

    def publish(self, requests):
        return self.channel.stream_stream(
            "/sluice.v1.Sluice/Publish", request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=self.response.FromString)(requests)


class Call:
    """One call of Publish. `outcomes[n]` is what became of record n: STORED, or UNKNOWN."""

    def __init__(self, api, stream, name, rate, stopping):
        self.api, self.stream, self.name, self.rate, self.stopping = api, stream, name, rate, stopping
        self.outcomes = bytearray()
        self.unanswered = collections.deque()  # (first number, records, when)
        self.latencies_s = []  # (of a request, its records)
        self.refusals = collections.Counter()
        self.by_shard = collections.Counter()  # stored, by (second, shard)
        self.stored = self.answered = 0
        letters = random.Random(name)
        self.filler = "".join(letters.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(2 * VALUE_BYTES))

    def key(self, number):
        return f"{self.name}/{number % KEYS}"

    def value(self, number):
        return f"{number} {self.filler[number % VALUE_BYTES:]}"[:VALUE_BYTES]

    def record(self, number):
        return self.api.record(key=self.key(number).encode(), value=self.value(number).encode())

    def requests(self):
        """What a slow cluster has delayed by more than a second is not made up for."""
        owed, at = 0.0, time.monotonic()
        while not self.stopping.wait(TICK_S):
            now = time.monotonic()
            rate = self.rate() / VALUE_BYTES
            owed, at = min(owed + rate * (now - at), rate), now
            first, count = len(self.outcomes), int(owed)
            if count == 0 or first - self.answered > UNANSWERED_RECORDS_MAX:
                continue
            owed -= count
            self.outcomes.extend(bytes([UNKNOWN]) * count)
            self.unanswered.append((first, count, now))
            yield self.api.request(stream=self.stream, records=[self.record(n) for n in range(first, first + count)])

    def run(self):
        """Until it is stopped and everything is answered; a call that breaks raises grpc.RpcError."""
        for response in self.api.publish(self.requests()):
            first, count, sent = self.unanswered.popleft()
            assert len(response.results) == count, f"{len(response.results)} results for {count} records"
            second = int(time.monotonic())
            self.latencies_s.append((time.monotonic() - sent, count))
            for number, result in enumerate(response.results, first):
                if result.code:
                    self.refusals[result.code] += 1
                else:
                    self.outcomes[number] = STORED
                    self.by_shard[second, result.shard] += 1
                    self.stored += 1
            self.answered += count


class Producer(threading.Thread):
    """Calls one after another, each to the next of `addresses`, until it is stopped."""

    def __init__(self, stream, name, addresses, rate):
        super().__init__(daemon=True)
        self.stream, self.called, self.addresses, self.rate = stream, name, addresses, rate
        self.calls, self.breaks, self.stopping = [], [], threading.Event()
        self.failure = None

    def run(self):
        while not self.stopping.is_set():
            address = self.addresses[len(self.calls) % len(self.addresses)]
            try:
                call = Call(Api(address), self.stream, f"{self.called}.{len(self.calls)}", self.rate, self.stopping)
                self.calls.append(call)
                call.run()
            except grpc.RpcError as error:
                self.breaks.append(f"{address}: {error.code().name} {error.details()}")
                self.stopping.wait(0.5)
            except AssertionError as error:
                self.failure = error
                return


class Load:
    """`producers` at the addresses in turn; `rate()` is the bytes per second of all together."""

    def __init__(self, stream, addresses, producers, rate):
        self.producers = [
            Producer(stream, f"p{i}", addresses[i % len(addresses):] + addresses[:i % len(addresses)],
                     lambda: rate() / producers) for i in range(producers)]

    def start(self):
        for producer in self.producers:
            producer.start()

    def stop(self, seconds=90):
        for producer in self.producers:
            producer.stopping.set()
        for producer in self.producers:
            producer.join(seconds)
            assert not producer.is_alive(), f"{producer.called} has not had its answers {seconds} s after the end"
            assert producer.failure is None, producer.failure

    @property
    def calls(self):
        return [call for producer in self.producers for call in list(producer.calls)]

    @property
    def breaks(self):
        return [one for producer in self.producers for one in producer.breaks]

    def stored(self):
        return sum(call.stored for call in self.calls)

    def refusals(self):
        return sum((call.refusals for call in self.calls), collections.Counter())

    def by_shard(self):
        return sum((call.by_shard for call in self.calls), collections.Counter())

    def latency_s(self, share):
        """That of `share` of the answered records at most."""
        latencies = sorted(pair for call in self.calls for pair in call.latencies_s)
        wanted = share * sum(count for _, count in latencies)
        for latency, count in latencies:
            wanted -= count
            if wanted <= 0:
                return latency
        return latencies[-1][0]


class History:
    """What a reader found, record by record, against what became of them."""

    def __init__(self, calls):
        self.calls = {call.name: call for call in calls}
        self.times = {call.name: bytearray(len(call.outcomes)) for call in calls}
        self.last = {}
        self.read = self.reordered = self.changed = self.foreign = 0
        self.examples = []

    def see(self, line):
        """A line of `sluice consume`: the key, a tabulator, the value."""
        key, _, value = line.rstrip("\n").partition("\t")
        name, number_text = key.partition("/")[0], value.partition(" ")[0]
        self.read += 1
        call = self.calls.get(name)
        if call is None or not number_text.isdigit() or int(number_text) >= len(call.outcomes):
            self.foreign += 1
            return self.note(f"{key}: nobody sent {value[:20]!r}")
        number = int(number_text)
        if key != call.key(number) or value != call.value(number):
            self.changed += 1
            return self.note(f"{key}: record {number} is not as it was sent")
        again = self.times[name][number] > 0
        self.times[name][number] = min(255, self.times[name][number] + 1)
        if not again and number < self.last.get(key, -1):
            self.reordered += 1
            self.note(f"{key}: {number} after {self.last[key]}")
        self.last[key] = max(number, self.last.get(key, -1))

    def note(self, text):
        if len(self.examples) < 5:
            self.examples.append(text)

    def lost(self):
        return sum(outcome == STORED and times == 0 for name, call in self.calls.items()
                   for outcome, times in zip(call.outcomes, self.times[name]))

    def duplicated(self):
        return sum(times - 1 for counts in self.times.values() for times in counts if times > 1)

    def unknown_and_stored(self):
        return sum(outcome == UNKNOWN and times > 0 for name, call in self.calls.items()
                   for outcome, times in zip(call.outcomes, self.times[name]))
