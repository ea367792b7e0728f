"""Cases made from the table: for one operation, every place of its request with every value that is
just legal, that breaks a rule, that is of another type, that is null or that is not there."""
import datetime

import table
from door import FORMATS, TARGET, check_envelope, encode

BATCH, BATCH_BYTES = 32, 256 << 10
NOT_JSON = {"text": b"hello", "a list": b"[]", "a string": b'"{}"', "a number": b"7",
            "cut": b'{"StreamName":"a', "two objects": b"{}{}", "single quotes": b"{'a':1}",
            "a comma too many": b'{"a":1,}', "no UTF-8": b'{"StreamName":"\xff"}'}
NOT_CBOR = {"a number": b"\x07", "a list": b"\x80", "cut": b"\xa1\x6aStream", "two maps": b"\xa0\xa0",
            "reserved": b"\xbf\x1c"}
SERIALIZATION, VALIDATION = "SerializationException", "ValidationException"


class Case:
    """One request and what must be said of it: a type and, unless None, the message. A type of None
    is anything but a refusal of the request's form."""

    def __init__(self, what, request, kind, message=None):
        self.what, self.request, self.kind, self.message = what, request, kind, message

    def problem(self, answer):
        if self.kind is None:
            if answer.type in (SERIALIZATION, VALIDATION) or answer.status >= 500:
                return f"legal, yet {answer}"
            return ""
        if isinstance(self.kind, tuple):  # the same answer as another request has
            if (answer.type, answer.message) != self.kind:
                return f"expected as without it, {self.kind}, got {answer}"
            return ""
        if answer.status != 400 or answer.type != self.kind:
            return f"expected {self.kind}, got {answer}"
        if self.message is not None and answer.message != self.message:
            return other_words(self.message, answer.message)
        return ""


def other_words(expected, got):
    """The two texts from a little before where they part."""
    same = next((i for i, (a, b) in enumerate(zip(expected, got)) if a != b),
                min(len(expected), len(got)))
    start = max(0, same - 60)
    return f"expected the words\n      {expected[start:start + 400]}\n    got\n      {got[start:start + 400]}"


def of_rules(operation, what, request):
    message = table.validation_message(operation, request)
    return Case(what, request, VALIDATION if message else None, message or None)


def cases(operation, form, base):
    """All cases of an operation; `base` is what its least request is answered."""
    def at(path, what, value, make=of_rules):
        where = f"{table.path_text(path)}: {what}"
        return make(operation, where, table.put(operation, path, value))

    for path, shape, required in table.places(operation):
        for what, value in table.legal_values(shape):
            yield at(path, f"legal, {what}", value)
        for what, value in table.broken_values(shape):
            yield at(path, what, value)
        if path[-1] == "{key}":
            continue
        for what, value, message in table.wrong_types(shape, form):
            yield at(path, f"of another type, {what}", value, lambda _, where, request, m=message:
                     Case(where, request, SERIALIZATION, m))
        if form == "cbor" and table.kind_of(shape) not in ("blob", "struct"):
            yield at(path, "of another type, bytes", b"x", lambda _, where, request:
                     Case(where, request, SERIALIZATION))
        if path[-1] == "{value}":
            continue
        yield at(path, "null", None)
        if path[-1] != 0:
            yield at(path, "left out", table.LEFT_OUT)
    least = table.request_of(operation)
    for what, value in (("text", "x"), ("a map", {"a": [1, {"b": None}]}), ("a list", [[], {}])):
        yield Case(f"an unknown member, {what}", {**least, "Nonsense": value}, base)
    yield Case("another capital", {**least, "streamname": "a b"}, base)
    for what, body in (NOT_JSON if form == "json" else NOT_CBOR).items():
        yield Case(f"a body that is {what}", body, SERIALIZATION)
    yield Case("an empty body", b"", SERIALIZATION)
    everything = {member: table.example(shape) for member, _, shape in
                  table.SCHEMA.structs[operation + "Request"].members}
    yield Case("everything that there is", {**everything, **least}, None)


def run(world, operation, form):
    """(number of cases, problems)."""
    door = world.door
    first = door.call(operation, table.request_of(operation), form)
    # What makes things answers otherwise the second time.
    base = (first.type, first.message)
    if operation in table.OWN_EXAMPLES or not first.type:
        again = door.call(operation, table.request_of(operation), form)
        base = (again.type, again.message)
    count, problems, batch, size = 0, [], [], 0
    for case in cases(operation, form, base):
        count += 1
        body = encode(case.request, form)
        batch.append((case, body))
        size += len(body)
        alone = operation in table.OWN_EXAMPLES
        if alone or len(batch) == BATCH or size > BATCH_BYTES:
            problems += send(door, operation, form, batch)
            batch, size = [], 0
    problems += send(door, operation, form, batch)
    if not problems:
        world.provoked.add((operation, VALIDATION))
    return count, problems


def send(door, operation, form, batch):
    problems = []
    answers = door.exchange([door.request(operation, body, form) for _, body in batch])
    for (case, _), answer in zip(batch, answers):
        problem = case.problem(answer)
        if not problem:
            try:
                check_envelope(answer, form)
            except AssertionError as error:
                problem = f"not as AWS wraps it: {error}"
        if problem:
            problems.append(f"{operation} ({form}), {case.what}: {problem}")
    return problems


# ---- the door itself: target, content type, signature ----

def front(door, form):
    """Requests that are no operation's, and every operation unsigned: (count, problems)."""
    kind = FORMATS[form]
    body = encode({}, form)
    expected = []

    def ask(what, headers, body, want, by=None):
        expected.append((what, door.raw(headers, body, by), want))

    for name in ("Nonsense", "describestream", "DescribeStream2", ""):
        ask(f"the operation {name!r}", {"content-type": kind, "x-amz-target": TARGET + name}, body,
            (400, "UnknownOperationException"))
    for target in ("Kinesis_20131203.DescribeStream", "DynamoDB_20120810.ListTables", "x", ""):
        ask(f"the target {target!r}", {"content-type": kind, "x-amz-target": target}, body,
            (400, "UnknownOperationException"))
    ask("no target", {"content-type": kind}, body, (400, "UnknownOperationException"))
    for operation in table.SCHEMA.operations:
        ask(f"{operation} unsigned", {"content-type": kind, "x-amz-target": TARGET + operation},
            encode(table.request_of(operation), form), (400, "MissingAuthenticationTokenException"))
    listing = {"content-type": kind, "x-amz-target": TARGET + "ListStreams"}
    for by, want in ((("AKIAUNKNOWN", "s"), "UnrecognizedClientException"),
                     (("AKIAOWNER", "wrong"), "InvalidSignatureException")):
        ask(f"signed with {by}", listing, body, (400, want), by)
    old = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=16)
    expected.append(("signed 16 minutes ago", door.raw(listing, body, when=old),
                     (400, "InvalidSignatureException")))
    return len(expected), [f"{what} ({form}): expected {want}, got {answer}"
                           for what, answer, want in expected
                           if (answer.status, answer.type) != want]
