"""Compares the ShardMap definition with the message that it mirrors.

The API server drops fields that a definition does not name, silently: a field added to the message
alone would be lost on the next write. Only what proto3 messages of broker/proto use is parsed here.
"""

import re

FIELD = re.compile(r"^\s*(?:(optional|repeated)\s+)?([\w.]+)\s+(\w+)\s*=\s*\d+\s*;")
MAP = re.compile(r"^\s*map<\s*string\s*,\s*(\w+)\s*>\s+(\w+)\s*=\s*\d+\s*;")
# proto3's JSON mapping: a 64-bit integer is a string.
SCALARS = {
    "int32": ("integer", "int32"), "uint32": ("integer", None), "int64": ("string", None),
    "uint64": ("string", None), "string": ("string", None), "bytes": ("string", None),
    "bool": ("boolean", None), "double": ("number", None), "float": ("number", None),
}


def parse(path):
    """name -> {field: (label, type)} for messages, name -> [values] for enums."""
    with open(path, encoding="utf-8") as f:
        text = re.sub(r"//.*", "", f.read())
    messages, enums = {}, {}
    for kind, name, body in re.findall(r"\b(message|enum)\s+(\w+)\s*\{([^{}]*)\}", text):
        if kind == "enum":
            enums[name] = re.findall(r"(\w+)\s*=\s*\d+\s*;", body)
            continue
        fields = {}
        for line in body.replace(";", ";\n").splitlines():
            found = FIELD.match(line)
            if found:
                fields[camel(found.group(3))] = (found.group(1) or "", found.group(2))
            found = MAP.match(line)
            if found:
                fields[camel(found.group(2))] = ("map", found.group(1))
        messages[name] = fields
    return messages, enums


def camel(name):
    """lower_snake to lowerCamel, as protobuf's JSON printer does."""
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


def differences(schema, message, messages, enums, path):
    """What of the message the schema does not mirror, and the other way round."""
    properties = schema.get("properties", {})
    fields = messages[message]
    for name in properties.keys() - fields.keys():
        yield f"{path}.{name}: not in message {message}"
    for name, (label, kind) in fields.items():
        field, where = properties.get(name), f"{path}.{name}"
        if field is None:
            yield f"{where}: missing in the definition"
            continue
        if label == "map":
            if field.get("type") != "object" or "additionalProperties" not in field:
                yield f"{where}: is no map"
                continue
            field, where = field["additionalProperties"], where + "{}"
        if label == "repeated":
            if field.get("type") != "array":
                yield f"{where}: is {field.get('type')}, not array"
                continue
            field, where = field["items"], where + "[]"
        if kind in messages:
            yield from differences(field, kind, messages, enums, where)
        elif kind in enums:
            if field.get("enum") != enums[kind]:
                yield f"{where}: enum is {field.get('enum')}, not {enums[kind]}"
        elif (field.get("type"), field.get("format")) != SCALARS[kind]:
            yield f"{where}: is {field.get('type')} {field.get('format')}, not {SCALARS[kind]}"


def check_mirror(proto_paths, crds, report):
    """The file with ShardMap, and those that it imports."""
    messages, enums = {}, {}
    for path in proto_paths:
        more_messages, more_enums = parse(path)
        messages |= more_messages
        enums |= more_enums
    schema = crds["ShardMap"]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    found = list(differences(schema, "ShardMap", messages, enums, "spec"))
    report.check("ShardMap: the definition mirrors message ShardMap", not found, "\n".join(found))
