#!/usr/bin/env python3
"""Makes the C++ messages of the Kafka protocol from schema/*.schema.

usage: generate.py OUT_DIR SCHEMA...      writes messages/NAME.{h,cc}, messages/all.h, api_table.h
                                          and test/NAME_randomize.cc below OUT_DIR

A schema is one API: `api NAME KEY`, `versions A-B`, `flexible V` (left out: never), then the fields of `request` and
`response`, nested by two spaces:

    field: TYPE [VERSIONS] [null [VERSIONS]] [tag N] [= DEFAULT]

TYPE is bool, int8, int16, int32, int64, uint16, float64, uuid, string, bytes, records, a struct's name (its fields follow,
deeper) or []TYPE. VERSIONS is `3`, `3+` or `3-12`. A file is written only when it changes, so that
a build that changes nothing compiles nothing.
"""
import os
import re
import sys

SCALARS = {  # type: (C++ type, reader/writer method, bytes)
    "bool": ("bool", "boolean", 1),
    "int8": ("int8_t", "i8", 1),
    "int16": ("int16_t", "i16", 2),
    "int32": ("int32_t", "i32", 4),
    "int64": ("int64_t", "i64", 8),
    "uint16": ("uint16_t", "u16", 2),
    "float64": ("double", "f64", 8),
    "uuid": ("Uuid", "uuid", 16),
}
FIELD = re.compile(
    r"(?P<name>\w+): (?P<array>\[\])?(?P<type>\w+)(?: (?P<versions>\d+(?:\+|-\d+)?))?"
    r"(?P<null> null(?: (?P<null_versions>\d+(?:\+|-\d+)?))?)?(?: tag (?P<tag>\d+))?"
    r"(?: = (?P<default>\S+))?$")


class SchemaError(Exception):
    pass


class Struct:
    def __init__(self, name):
        self.name = name
        self.fields = []


class Field:
    def __init__(self, match, api):
        self.name = match["name"]
        self.is_array = match["array"] is not None
        self.type = match["type"]
        self.versions = api.span(match["versions"])
        self.nulls = api.span(match["null_versions"]) if match["null"] else None
        self.tag = int(match["tag"]) if match["tag"] else None
        self.default = match["default"]
        self.struct = None
        if self.type not in SCALARS and self.type not in ("string", "bytes", "records"):
            self.struct = Struct(self.type)


class Api:
    def __init__(self, path):
        self.file = os.path.splitext(os.path.basename(path))[0]
        self.path = path
        self.messages = {}
        self.comment = []
        with open(path, encoding="utf-8") as text:
            self.parse(text.read().splitlines())

    def span(self, text):
        """(first, last) of a VERSIONS word, clipped to the API's own."""
        if not text:
            return (self.first, self.last)
        if text.endswith("+"):
            return (max(int(text[:-1]), self.first), self.last)
        low, _, high = text.partition("-")
        return (max(int(low), self.first), min(int(high or low), self.last))

    def parse(self, lines):
        stack = []
        for number, line in enumerate(lines, 1):
            body = line.strip()
            if body.startswith("#"):
                self.comment.append(body.lstrip("# "))
            if not body or body.startswith("#"):
                continue
            try:
                indent = len(line) - len(line.lstrip())
                if indent == 0:
                    stack = self.directive(body.split())
                else:
                    self.field(body, indent // 2, stack)
            except (SchemaError, ValueError, IndexError) as error:
                sys.exit(f"{self.path}:{number}: {error}")

    def directive(self, words):
        if words[0] == "api":
            self.name, self.key = words[1], int(words[2])
        elif words[0] == "versions":
            low, _, high = words[1].partition("-")
            self.first, self.last = int(low), int(high or low)
            self.flexible = self.last + 1  # never, unless it is said
        elif words[0] == "flexible":
            self.flexible = int(words[1])
        elif words[0] in ("request", "response"):
            message = Struct(self.name + words[0].capitalize())
            self.messages[words[0]] = message
            return [message]
        else:
            raise SchemaError(f"unknown word '{words[0]}'")
        return []

    def field(self, body, depth, stack):
        match = FIELD.match(body)
        if not match or depth < 1 or depth > len(stack):
            raise SchemaError(f"not a field here: '{body}'")
        field = Field(match, self)
        if field.tag is not None and field.versions[0] < self.flexible:
            raise SchemaError("a tagged field needs flexible versions")
        del stack[depth:]
        stack[-1].fields.append(field)
        if field.struct:
            stack.append(field.struct)

    def structs(self, message):
        """Nested structs, children first, then the message itself: (C++ name, struct)."""
        found = []

        def walk(struct, scope):
            for field in struct.fields:
                if field.struct:
                    walk(field.struct, scope + "::" + field.struct.name)
            found.append((scope, struct))
        walk(message, message.name)
        return found


# --- types -------------------------------------------------------------------------------------

def element_type(field):
    if field.struct:
        return field.struct.name
    return {"string": "std::string", "bytes": "std::string", "records": "Records"}.get(field.type) or SCALARS[field.type][0]


def cpp_type(field):
    kind = element_type(field)
    if field.is_array:
        kind = f"std::vector<{kind}>"
    return f"std::optional<{kind}>" if field.nulls else kind


def default_of(field):
    return field.default if field.default is not None else ""


def condition(api, span, within=None):
    """C++ for `version` in span, given that it already is in `within`; '' means always."""
    low, high = within or (api.first, api.last)
    tests = []
    if span[0] > low:
        tests.append(f"version >= {span[0]}")
    if span[1] < high:
        tests.append(f"version <= {span[1]}")
    return " && ".join(tests)


def nullable(api, field):
    if not field.nulls:
        return "false"
    return condition(api, field.nulls, field.versions) or "true"


def wire_min(api, struct, version):
    """The fewest bytes a struct takes."""
    flexible = version >= api.flexible
    total = 1 if flexible else 0
    for field in struct.fields:
        if field.tag is not None or not field.versions[0] <= version <= field.versions[1]:
            continue
        if field.is_array or field.type in ("bytes", "records"):
            total += 1 if flexible else 4
        elif field.type == "string":
            total += 1 if flexible else 2
        elif field.struct:
            total += 1 if field.nulls else wire_min(api, field.struct, version)
        else:
            total += SCALARS[field.type][2]
    return total


def wire_min_cpp(api, field):
    """An expression for the fewest bytes of one element of an array field."""
    if field.type == "string":
        return "flexible ? 1 : 2"
    if not field.struct:
        return str(SCALARS[field.type][2])
    low, high = field.versions
    sizes = [wire_min(api, field.struct, v) for v in range(low, high + 1)]
    if min(sizes) < 1:
        raise SchemaError(f"{field.name}: elements of no size")
    return str(min(sizes))


# --- emitters ----------------------------------------------------------------------------------

def declare(api, struct, depth, message_name=None, is_optional=False):
    pad = "  " * depth
    out = [f"{pad}struct {struct.name} {{"]
    if is_optional:  # else clang takes optional<nested struct> for not constructible
        out.append(f"{pad}  {struct.name}() {{}}")
    if message_name:
        out += [f"{pad}  static constexpr int16_t kApiKey = {api.key};",
                f"{pad}  static constexpr int16_t kVersionMin = {api.first};",
                f"{pad}  static constexpr int16_t kVersionMax = {api.last};",
                f"{pad}  static constexpr int16_t kFlexibleFrom = {api.flexible};"]
    for field in struct.fields:
        if field.struct:
            out += declare(api, field.struct, depth + 1,
                           is_optional=bool(field.nulls) and not field.is_array)
    for field in struct.fields:
        default = f" = {default_of(field)}" if default_of(field) else "{}"
        versions = f"{field.versions[0]}-{field.versions[1]}"
        if field.versions[0] == field.versions[1]:
            versions = str(field.versions[0])
        note = "" if field.versions == (api.first, api.last) else f"  // {versions}"
        out.append(f"{pad}  {cpp_type(field)} {field.name}{default};{note}")
    out.append(f"{pad}  UnknownTags unknown_tags;")
    out.append(f"{pad}  bool operator==(const {struct.name}&) const = default;")
    out.append(f"{pad}}};")
    return out


def guarded(cond, lines):
    if not cond:
        return lines
    return [f"if ({cond}) {{"] + ["  " + line for line in lines] + ["}"]


def decode_lines(api, field):
    target = f"m.{field.name}"
    null = nullable(api, field)
    if field.is_array:
        if field.struct:
            read = f"decode_fields(in, version, e);"
        elif field.type == "string":
            read = f"in.string(flexible, e);"
        else:
            read = f"e = in.{SCALARS[field.type][1]}();"
        vector = f"{target}.value()" if field.nulls else target
        lines = [f"using Element = std::decay_t<decltype({vector}[0])>;",
                 f"int64_t count = in.array(flexible, {null}, {wire_min_cpp(api, field)}, "
                 "sizeof(Element));"]
        if field.nulls:
            lines += [f"if (count < 0) {target}.reset();",
                      f"else for (auto& e : {target}.emplace(static_cast<size_t>(count))) {{"]
        else:
            lines += [f"{target}.resize(static_cast<size_t>(count));",
                      f"for (auto& e : {target}) {{"]
        lines += [f"  {read}", f"  if (!in.ok()) return;", "}"]
        return ["{"] + ["  " + line for line in lines] + ["}"]
    if field.struct:
        if field.nulls:
            return [f"if (in.present()) decode_fields(in, version, {target}.emplace());",
                    f"else {target}.reset();"]
        return [f"decode_fields(in, version, {target});"]
    if field.type in ("string", "bytes"):
        extra = f", {null}" if field.nulls else ""
        return [f"in.{field.type}(flexible{extra}, {target});"]
    if field.type == "records":
        return [f"in.records(flexible, {null}, {target});"]
    return [f"{target} = in.{SCALARS[field.type][1]}();"]


def encode_lines(api, field):
    source = f"m.{field.name}"
    null = nullable(api, field)
    if field.is_array:
        values = f"*{source}" if field.nulls else source
        if field.struct:
            write = f"encode_fields(out, version, e);"
        elif field.type == "string":
            write = f"out.string(flexible, e);"
        else:
            write = f"out.{SCALARS[field.type][1]}(e);"
        size = f"{source}->size()" if field.nulls else f"{source}.size()"
        lines = [f"out.array(flexible, {size});", f"for (const auto& e : {values}) {write}"]
        if not field.nulls:
            return lines
        return ([f"if (!{source}) {{", f"  out.null_array(flexible, {null});", "} else {"] +
                ["  " + line for line in lines] + ["}"])
    if field.struct:
        if field.nulls:
            return [f"out.present({source}.has_value());",
                    f"if ({source}) encode_fields(out, version, *{source});"]
        return [f"encode_fields(out, version, {source});"]
    if field.type in ("string", "bytes"):
        extra = f", {null}" if field.nulls else ""
        return [f"out.{field.type}(flexible{extra}, {source});"]
    if field.type == "records":
        return [f"out.records(flexible, {null}, {source});"]
    return [f"out.{SCALARS[field.type][1]}({source});"]


def plain_and_tagged(struct):
    return ([f for f in struct.fields if f.tag is None],
            [f for f in struct.fields if f.tag is not None])


def decode_function(api, cpp_name, struct):
    plain, tagged = plain_and_tagged(struct)
    out = [f"void decode_fields(Reader& in, int16_t version, {cpp_name}& m) {{",
           f"  [[maybe_unused]] const bool flexible = version >= {api.flexible};"]
    for field in plain:
        lines = guarded(condition(api, field.versions), decode_lines(api, field))
        out += ["  " + line for line in lines]
    if not tagged:
        return out + ["  if (flexible) in.unknown_tags(m.unknown_tags);", "}", ""]
    out += ["  if (!flexible) return;", "  int64_t previous = -1;",
            "  for (uint32_t tags = in.tag_count(); tags > 0 && in.ok(); --tags) {",
            "    uint32_t tag = in.tag_id(previous);", "    previous = tag;",
            "    std::string_view data = in.tag_data();", "    if (!in.ok()) return;"]
    for field in tagged:
        cond = condition(api, field.versions)
        out.append(f"    if (tag == {field.tag}{' && ' + cond if cond else ''}) {{")
        out.append("      Reader field = in.sub(data);")
        out.append("      [&](Reader& in) {")
        out += ["        " + line for line in decode_lines(api, field)]
        out += ["      }(field);", "      in.end_tag(field);", "      continue;", "    }"]
    out += ["    in.keep_unknown(m.unknown_tags, tag, data);", "  }", "}", ""]
    return out


def encode_function(api, cpp_name, struct):
    plain, tagged = plain_and_tagged(struct)
    out = [f"void encode_fields(Writer& out, int16_t version, const {cpp_name}& m) {{",
           f"  [[maybe_unused]] const bool flexible = version >= {api.flexible};"]
    for field in plain:
        lines = guarded(condition(api, field.versions), encode_lines(api, field))
        out += ["  " + line for line in lines]
    if not tagged:
        return out + ["  if (flexible) TagWriter(out).finish(m.unknown_tags);", "}", ""]
    out += ["  if (!flexible) return;", "  TagWriter tags(out);"]
    for field in tagged:
        cond = condition(api, field.versions)
        is_set = f"!(m.{field.name} == decltype(m.{field.name})({default_of(field)}))"
        if field.struct and not field.is_array:
            is_set = f"!(m.{field.name} == std::decay_t<decltype(m.{field.name})>{{}})"
        elif field.is_array:
            is_set = f"!m.{field.name}.empty()"
        elif field.nulls:
            is_set = f"m.{field.name}.has_value()"
        elif field.type == "uuid":
            is_set = f"!m.{field.name}.is_zero()"
        out.append(f"  if ({cond + ' && ' if cond else ''}{is_set}) {{")
        out.append(f"    tags.add({field.tag}, [&](Writer& out) {{")
        out += ["      " + line for line in encode_lines(api, field)]
        out += ["    });", "  }"]
    out += ["  tags.finish(m.unknown_tags);", "}", ""]
    return out


def randomize_function(api, cpp_name, struct):
    out = [f"void randomize_fields(Randomizer& r, int16_t version, {cpp_name}& m) {{"]
    for field in struct.fields:
        target = f"m.{field.name}"
        if field.struct:
            value = "randomize_fields(r, version, {});"
        else:
            value = "r.value({});"
        inner = target if not field.nulls else f"{target}.emplace()"
        if field.is_array:
            lines = [f"for (auto& e : r.sized({inner})) {value.format('e')}"]
        else:
            lines = [value.format(inner)]
        if field.nulls:
            null = nullable(api, field)
            lines = [f"if ({null} && r.chance(3)) {target}.reset();", "else {"] + \
                ["  " + line for line in lines] + ["}"]
        out += ["  " + line for line in guarded(condition(api, field.versions), lines)]
    out += [f"  if (version >= {api.flexible} && r.chance(4)) r.unknown_tag(m.unknown_tags);", "}",
            ""]
    return out


BANNER = "// Generated by broker/protocol/kafka/generate.py from schema/{}.schema; do not edit.\n"


def header(api):
    out = ["#pragma once", BANNER.format(api.file).rstrip()]
    out += ["// " + line for line in api.comment]
    out += ['#include "broker/protocol/kafka/codec.h"', "",
            "namespace broker::protocol::kafka {", ""]
    for message in api.messages.values():
        out += declare(api, message, 0, message.name) + [""]
        out += [f"void decode_fields(Reader& in, int16_t version, {message.name}& m);",
                f"void encode_fields(Writer& out, int16_t version, const {message.name}& m);", ""]
    return out + ["}  // namespace broker::protocol::kafka", ""]


def source(api, include, functions):
    out = [BANNER.format(api.file).rstrip(),
           f'#include "broker/protocol/kafka/messages/{api.file}.h"']
    out += [f'#include "{include}"'] if include else []
    out += ["", "namespace broker::protocol::kafka {", ""]
    for message in api.messages.values():
        for cpp_name, struct in api.structs(message):
            static = "static " if struct is not message else ""
            for function in functions:
                lines = function(api, cpp_name, struct)
                out += [static + lines[0]] + lines[1:]
    return out + ["}  // namespace broker::protocol::kafka", ""]


def all_header(apis):
    out = ["#pragma once", "// Generated by broker/protocol/kafka/generate.py; do not edit.",
           "// Every message, and a list of them for tests and tables of handlers."]
    out += [f'#include "broker/protocol/kafka/messages/{api.file}.h"' for api in apis]
    out += ["", "// X(Name): NameRequest and NameResponse exist.",
            "#define SL_KAFKA_FOR_EACH_API(X) \\"]
    out += [f"  X({api.name}) \\" for api in apis[:-1]] + [f"  X({apis[-1].name})", ""]
    return out


def table(apis):
    out = ["#pragma once", "// Generated by broker/protocol/kafka/generate.py; do not edit.",
           "// Every API that can be coded, by key; served are those with handlers.",
           "#include <array>", "#include <cstdint>", "#include <string_view>", "",
           "namespace broker::protocol::kafka {", "", "enum class ApiKey : int16_t {"]
    out += [f"  k{api.name} = {api.key}," for api in apis]
    out += ["};", "", "struct ApiInfo {", "  ApiKey key;", "  std::string_view name;",
            "  int16_t version_min;", "  int16_t version_max;",
            "  int16_t flexible_from;", "};", "",
            f"inline constexpr std::array<ApiInfo, {len(apis)}> kApis{{{{"]
    for api in apis:
        out.append(f'    {{ApiKey::k{api.name}, "{api.name}", {api.first}, {api.last}, '
                   f"{api.flexible}}},")
    return out + ["}};", "", "}  // namespace broker::protocol::kafka", ""]


def write(path, lines):
    text = "\n".join(lines)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.exists(path):
        with open(path, encoding="utf-8") as old:
            if old.read() == text:
                return
    with open(path, "w", encoding="utf-8") as new:
        new.write(text)


def main():
    out_dir, paths = sys.argv[1], sys.argv[2:]
    apis = sorted((Api(path) for path in paths), key=lambda api: api.key)
    for api in apis:
        stem = f"{out_dir}/messages/{api.file}"
        write(stem + ".h", header(api))
        write(stem + ".cc", source(api, None, [decode_function, encode_function]))
        write(f"{out_dir}/test/{api.file}_randomize.cc",
              source(api, "broker/protocol/kafka/randomize.h", [randomize_function]))
    write(f"{out_dir}/messages/all.h", all_header(apis))
    write(f"{out_dir}/api_table.h", table(apis))


if __name__ == "__main__":
    main()
