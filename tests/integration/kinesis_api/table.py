"""Our own table of the API's shapes, read as a test reads it: what is legal, what breaks which rule,
and what AWS says of it. The rules are checked here once more, by Python's own regular expressions:
nothing of the broker's decoder is used."""
import copy
import importlib.util
import re

from cbor import Time
from door import ACCOUNT, REGION, ROOT

ABSENT = "absent"                      # a stream that nobody has made
STREAM_ARN = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/"
EXAMPLES = {
    "StreamName": ABSENT, "StreamARN": STREAM_ARN + ABSENT, "ResourceARN": STREAM_ARN + ABSENT,
    "ConsumerARN": STREAM_ARN + ABSENT + "/consumer/c:1", "HashKey": "7", "SequenceNumber": "7",
    "StreamId": "a" * 20 + "-" + "b" * 3, "ShardId": "shardId-000000000000", "Policy": "{}",
}
# For one operation: (a member, its value). What is made must not be in another test's way.
OWN_EXAMPLES = {"CreateStream": {"StreamName": "generated", "ShardCount": 1}}
JAVA_OBJECT = "com.amazonaws.kinesis.v20131202.{}@c965e310"
ECHO_MAX = 4096    # bytes of a bad value that our errors repeat; AWS repeats all
BROKEN_MAX = 10    # broken rules that one error tells
INT_MAX, LONG_MAX = (1 << 31) - 1, (1 << 63) - 1
LIST_REFUSED = "Start of list found where not expected"
MAP_REFUSED = "Start of structure or map found where not expected."
SCALARS = {"number": 7, "boolean": True, "string": "x"}
JAVA_TYPES = {"number": "class com.amazon.coral.value.json.numbers.TruncatingBigNumber",
              "boolean": "class java.lang.Boolean", "string": "class java.lang.String"}
CONVERTED = {"string": "an String", "blob": "a Blob", "integer": "an Integer", "long": "an Long",
             "boolean": "an Boolean", "timestamp": "milliseconds since epoch"}
TAKES = {"string": "string", "blob": "string", "integer": "number", "long": "number",
         "boolean": "boolean", "timestamp": "number"}


def load_schema():
    folder = ROOT / "broker/protocol/kinesis"
    spec = importlib.util.spec_from_file_location("generate", folder / "generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    return generate.Schema(str(folder / "api.schema"))


SCHEMA = load_schema()
PATTERNS = {name: re.compile(shape.text, re.ASCII) for name, shape in SCHEMA.shapes.items()
            if shape.check}


class Bounds:
    """A shape's rules as numbers and compiled patterns."""

    def __init__(self, shape):
        self.min = int(shape.min) if shape.min else None
        self.max = int(shape.max) if shape.max else None

    def texts(self, size, what):
        if self.min is not None and size < self.min:
            yield f"Member must have {what} greater than or equal to {self.min}"
        if self.max is not None and size > self.max:
            yield f"Member must have {what} less than or equal to {self.max}"


def kind_of(name):
    return "struct" if name in SCHEMA.structs else SCHEMA.shapes[name].kind


def example(name):
    if name in EXAMPLES:
        return EXAMPLES[name]
    if name in SCHEMA.structs:
        return {member: example(shape) for member, required, shape in SCHEMA.structs[name].members
                if required}
    shape = SCHEMA.shapes[name]
    if shape.kind == "string":
        return shape.enum[0] if shape.enum else "k"
    if shape.kind == "blob":
        return b"d"
    if shape.kind in ("integer", "long"):
        return int(shape.min or 24)
    if shape.kind == "list":
        return [example(shape.of)]
    if shape.kind == "map":
        return {example(shape.of): example(shape.value)}
    return {"boolean": False, "timestamp": Time(1000)}[shape.kind]


def request_of(operation):
    """A least legal request: what is required, about a stream that does not exist."""
    struct = SCHEMA.structs[operation + "Request"]
    request = example(struct.name)
    if struct.named:
        request["StreamName"] = ABSENT
    return {**request, **OWN_EXAMPLES.get(operation, {})}


# ---- places: every value that a request can hold, wherever it stands ----

def places(operation):
    """(path, shape, required) of everything that can be in a request. A path has members' names,
    0 for a list's first element, and "{key}" and "{value}" of a map."""
    def walk(path, name, required):
        yield path, name, required
        if name in SCHEMA.structs:
            for member, needed, shape in SCHEMA.structs[name].members:
                yield from walk(path + (member,), shape, needed)
        elif SCHEMA.shapes[name].kind == "list":
            yield from walk(path + (0,), SCHEMA.shapes[name].of, False)
        elif SCHEMA.shapes[name].kind == "map":
            yield path + ("{key}",), SCHEMA.shapes[name].of, False
            yield path + ("{value}",), SCHEMA.shapes[name].value, False
    for member, needed, shape in SCHEMA.structs[operation + "Request"].members:
        yield from walk((member,), shape, needed)


LEFT_OUT = object()


def put(operation, path, value):
    """The least request with this value in this place."""
    request = copy.deepcopy(request_of(operation))
    holder, shape = request, operation + "Request"
    for step in path[:-1]:
        if step == 0:
            shape, holder = SCHEMA.shapes[shape].of, holder[0]
            continue
        shape = next(s for m, _, s in SCHEMA.structs[shape].members if m == step)
        holder = holder.setdefault(step, example(shape))
    last = path[-1]
    if last == "{key}":
        only = holder.popitem()[1]
        holder[value] = only
    elif last == "{value}":
        holder[next(iter(holder))] = value
    elif value is LEFT_OUT:
        holder.pop(last, None)
    else:
        holder[last] = value
    return request


def path_text(path):
    return ".".join(str(step) for step in path)


# ---- values ----

def broken_values(name):
    """(what, value) of the right type, each against one rule or more."""
    shape = SCHEMA.shapes.get(name)
    if shape is None:
        return
    bounds = Bounds(shape)
    if shape.kind == "string":
        if bounds.min:
            yield "below", ""
        if bounds.max is not None:
            yield "above", "a" * (bounds.max + 1)
        if shape.enum:
            yield "no word of the enum", "NONSENSE"
            yield "in the wrong case", shape.enum[0].swapcase()
        if shape.check:
            for what, text in AGAINST_PATTERN[shape.check]:
                yield what, text
    elif shape.kind == "blob":
        if bounds.max is not None:
            yield "above", bytes(bounds.max + 1)
    elif shape.kind in ("integer", "long"):
        if bounds.min is not None:
            yield "below", bounds.min - 1
            yield "far below", -LONG_MAX
        if bounds.max is not None:
            yield "above", bounds.max + 1
            yield "far above", LONG_MAX
    elif shape.kind == "list":
        if bounds.min:
            yield "empty", []
        if bounds.max is not None:
            yield "too long", [example(shape.of)] * (bounds.max + 1)
    elif shape.kind == "map":
        if bounds.min:
            yield "empty", {}
        if bounds.max is not None:
            yield "too long", {f"k{i}": "v" for i in range(bounds.max + 1)}


ARN = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:"
AGAINST_PATTERN = {
    "name": [("a blank", "a b"), ("a slash", "a/b"), ("not ASCII", "é"), ("a line's end", "a\n")],
    "number_39": [("no number", "x"), ("a sign", "-1"), ("a leading zero", "01"),
                  ("40 digits", "1" * 40), ("empty", ""), ("a fraction", "1.0")],
    "number_129": [("no number", "x"), ("a sign", "-1"), ("a leading zero", "01"),
                   ("130 digits", "1" * 130), ("empty", "")],
    "stream_id": [("too short", "a" * 20), ("upper case", "A" * 20 + "-" + "b" * 3),
                  ("no hyphen", "a" * 24)],
    "stream_arn": [("no ARN", "x"), ("another service", "arn:aws:sqs:r:123456789012:stream/a"),
                   ("a short account", "arn:aws:kinesis:r:12345:stream/a"),
                   ("no stream", ARN + "channel/a"), ("no name", ARN + "stream/")],
    "resource_arn": [("no ARN", "x"), ("another service", "arn:aws:sqs:r:123456789012:stream/a"),
                     ("a queue", ARN + "queue/a"), ("no name", ARN + "stream/")],
    "consumer_arn": [("no ARN", "x"), ("a stream's", ARN + "stream/a"),
                     ("no time", ARN + "stream/a/consumer/c"),
                     ("no number", ARN + "stream/a/consumer/c:x")],
}


def legal_values(name):
    """(what, value) at the very edge of what is legal."""
    shape = SCHEMA.shapes.get(name)
    if shape is None:
        return
    bounds = Bounds(shape)
    if shape.kind == "string":
        for word in shape.enum:
            yield word, word
        if shape.check in ("number_39", "number_129"):
            yield "0", "0"
            yield "as many digits as may be", "9" * int(shape.check[-3:].strip("_r"))
        elif shape.check in (None, "name") and not shape.enum:
            if bounds.min is not None:
                yield "shortest", "a" * bounds.min
            if bounds.max is not None:
                yield "longest", "a" * bounds.max
                if not shape.check and bounds.max % 2 == 0 and bounds.max < 1000:
                    yield "longest in UTF-16", "\U0001F680" * (bounds.max // 2)
        elif shape.check == "stream_arn":
            yield "longest", (EXAMPLES["StreamARN"] + "a" * bounds.max)[:bounds.max]
            yield "of China", EXAMPLES["StreamARN"].replace(":aws:", ":aws-cn:")
    elif shape.kind in ("integer", "long"):
        yield from ((f"{edge}", edge) for edge in (bounds.min, bounds.max) if edge is not None)
        if bounds.min is not None:
            yield "a fraction", bounds.min + 0.9
    elif shape.kind == "list" and bounds.max is not None:
        yield "longest", [example(shape.of)] * bounds.max
    elif shape.kind == "map" and bounds.max is not None:
        yield "longest", {f"k{i}": "v" for i in range(bounds.max)}
    elif shape.kind == "boolean":
        yield from (("true", True), ("false", False), ("true as text", "true"))


def wrong_types(name, form):
    """(what, value, AWS's message) of other types than the shape's."""
    kind = kind_of(name)
    taken = {"list": ("list",), "map": ("map",), "struct": ("map",)}.get(kind, (TAKES.get(kind),))
    for what, value in SCALARS.items():
        if what in taken or (kind == "boolean" and what == "string"):
            continue
        if kind in CONVERTED:
            yield what, value, f"{JAVA_TYPES[what]} can not be converted to {CONVERTED[kind]}"
        else:
            yield what, value, {"list": "Expected list or null", "map": "Expected map or null",
                                "struct": "Expected null"}[kind]
    if "list" not in taken:
        yield "list", [], LIST_REFUSED
    if "map" not in taken:
        yield "map", {}, MAP_REFUSED
    if kind == "boolean":
        yield "text", "perhaps", "'PERHAPS' can not be converted to an Boolean"
    if kind == "blob" and form == "json":
        yield "no base64", "=", None


# ---- what AWS says ----

def quoted(value):
    """A bad value as errors repeat it: its first bytes, in whole characters."""
    data = value.encode()
    if len(data) <= ECHO_MAX:
        return f"'{value}'"
    return "'" + data[:ECHO_MAX].decode(errors="ignore") + "...'"


def lower_first(name):
    return name[:1].lower() + name[1:]


def matches(shape, value):
    return PATTERNS[shape.name].fullmatch(value) is not None


def scalar_rules(shape, value):
    """The constraints that a string breaks, in AWS's order."""
    if shape.check and not matches(shape, value):
        yield f"Member must satisfy regular expression pattern: {shape.text}"
    yield from Bounds(shape).texts(len(value.encode("utf-16-le")) // 2, "length")
    if shape.enum and value not in shape.enum:
        yield f"Member must satisfy enum value set: [{', '.join(shape.enum)}]"


def all_rules(shape):
    """Every constraint of an element: AWS tells them of the whole list or map."""
    bounds, rules = Bounds(shape), []
    if bounds.max is not None:
        rules.append(f"Member must have length less than or equal to {bounds.max}")
    if bounds.min is not None:
        rules.append(f"Member must have length greater than or equal to {bounds.min}")
    if shape.check:
        rules.append(f"Member must satisfy regular expression pattern: {shape.text}")
    if shape.enum:
        rules.append(f"Member must satisfy enum value set: [{', '.join(shape.enum)}]")
    return "[" + ", ".join(rules) + "]"


def broken_rules(name, value, path):
    """(place, value as text, constraint) of a value of the right types."""
    if name in SCHEMA.structs:
        for member, required, shape in SCHEMA.structs[name].members:
            here = f"{path}.{lower_first(member)}" if path else lower_first(member)
            if value.get(member) is not None:
                yield from broken_rules(shape, value[member], here)
            elif required:
                yield here, "null", "Member must not be null"
        return
    shape = SCHEMA.shapes[name]
    if shape.kind == "string":
        for rule in scalar_rules(shape, value):
            yield path, quoted(value), rule
    elif shape.kind == "blob":
        size = len(value)
        for rule in Bounds(shape).texts(size, "length"):
            yield path, f"'java.nio.HeapByteBuffer[pos=0 lim={size} cap={size}]'", rule
    elif shape.kind in ("integer", "long"):
        most = INT_MAX if shape.kind == "integer" else LONG_MAX
        number = max(-most - 1, min(most, int(value)))
        for rule in Bounds(shape).texts(number, "value"):
            yield path, f"'{number}'", rule
    elif shape.kind == "list":
        yield from broken_list(shape, value, path)
    elif shape.kind == "map":
        yield from broken_map(shape, value, path)


def broken_list(shape, value, path):
    scalars, count = shape.of not in SCHEMA.structs, len(value)
    for number, element in enumerate(value, 1):
        if element is None:
            yield f"{path}.{number}.member", "null", "Member must not be null"
    value = [element for element in value if element is not None]
    text = ", ".join(value if scalars else [JAVA_OBJECT.format(shape.of)] * len(value))
    for rule in Bounds(shape).texts(count, "length"):
        yield path, f"'[{text}]'", rule
    if not scalars:
        for number, element in enumerate(value, 1):
            yield from broken_rules(shape.of, element, f"{path}.{number}.member")
    elif any(list(scalar_rules(SCHEMA.shapes[shape.of], one)) for one in value):
        yield path, f"'[{text}]'", "Member must satisfy constraint: " + \
            all_rules(SCHEMA.shapes[shape.of])


def broken_map(shape, value, path):
    bounds = Bounds(shape)
    # In the order of their keys: AWS's, a hash table's, is none.
    text = "'{" + ", ".join(f"{k}={v}" for k, v in sorted(value.items())) + "}'"
    for rule in bounds.texts(len(value), "length"):
        yield path, text, rule
    for what, of, parts in (("keys", shape.of, value), ("value", shape.value, value.values())):
        rules = SCHEMA.shapes[of]
        if any(list(scalar_rules(rules, one)) for one in parts):
            yield path, text, f"Map {what} must satisfy constraint: " + all_rules(rules)


def validation_message(operation, request):
    """What AWS says of a request of the right types; nothing of a legal one."""
    struct = SCHEMA.structs[operation + "Request"]
    broken = list(broken_rules(struct.name, request, ""))
    if struct.named and request.get("StreamName") is None and request.get("StreamARN") is None:
        broken.append(("streamName", "null", "Member must not be null"))
    broken = broken[:BROKEN_MAX]
    if not broken:
        return ""
    return (f"{len(broken)} validation error{'s' if len(broken) > 1 else ''} detected: " +
            "; ".join(f"Value {value} at '{place}' failed to satisfy constraint: {rule}"
                      for place, value, rule in broken))
