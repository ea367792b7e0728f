#!/usr/bin/env python3
"""Makes the C++ messages of the Kinesis API from api.schema, whose first lines tell its syntax.

usage: generate.py OUT_DIR SCHEMA     writes messages.h, fields.h and codec_table.cc below OUT_DIR

A file is written only when it changes, so that a build that changes nothing compiles nothing.
"""
import os
import re
import sys

SCALARS = {"string": "std::string", "blob": "std::string", "integer": "int32_t", "long": "int64_t",
           "boolean": "bool", "timestamp": "int64_t"}
SHAPE = re.compile(
    r"(?P<kind>\w+) (?P<name>\w+)(?: of (?P<of>\w+)(?: (?P<value>[A-Z]\w+))?)?"
    r"(?: (?:length|range) (?P<min>\d*)-(?P<max>\d*))?(?: enum (?P<enum>[\w ]+))?"
    r"(?: pattern (?P<check>\w+) (?P<text>.+))?$")


class Shape:
    def __init__(self, match):
        self.kind = match["kind"]
        self.name = match["name"]
        self.of = match["of"]
        self.value = match["value"]
        self.min = match["min"]
        self.max = match["max"]
        self.enum = match["enum"].split() if match["enum"] else []
        self.check = match["check"]
        self.text = match["text"]


class Struct:
    def __init__(self, name, operation=None, named=False):
        self.name = name
        self.operation = operation   # of a request or response
        self.named = named
        self.members = []            # (name, required, shape's name)


class Schema:
    def __init__(self, path):
        self.shapes, self.structs, self.operations = {}, {}, []
        operation, struct = None, None
        with open(path, encoding="utf-8") as text:
            for number, line in enumerate(text, 1):
                words = line.split()
                if not words or line.startswith("#"):
                    continue
                try:
                    if line[0] != " ":
                        operation, struct = self.directive(line.rstrip("\n"), words)
                    elif words[0] in ("request", "response"):
                        struct = self.structs[operation + words[0].capitalize()]
                        struct.named = "named" in words
                    else:
                        required = words[0].endswith("!")
                        struct.members.append((words[0].rstrip("!"), required, words[1]))
                except (KeyError, IndexError, ValueError, AttributeError) as error:
                    sys.exit(f"{path}:{number}: {error!r}")
        for struct in self.structs.values():
            for member, _, shape in struct.members:
                if shape not in self.shapes and shape not in self.structs:
                    sys.exit(f"{path}: {struct.name}.{member}: unknown shape {shape}")

    def directive(self, line, words):
        if words[0] == "struct":
            self.structs[words[1]] = Struct(words[1])
            return None, self.structs[words[1]]
        if words[0] == "operation":
            name = words[1]
            self.operations.append(name)
            for side in ("Request", "Response"):
                self.structs[name + side] = Struct(name + side, name)
            return name, None
        match = SHAPE.match(line)
        if not match or match["kind"] not in list(SCALARS) + ["list", "map"]:
            raise ValueError(f"not a shape: {line}")
        self.shapes[words[1]] = Shape(match)
        return None, None

    def type_of(self, name):
        if name in self.structs:
            return name
        shape = self.shapes[name]
        if shape.kind == "list":
            return f"std::vector<{self.type_of(shape.of)}>"
        if shape.kind == "map":
            return f"std::map<{self.type_of(shape.of)}, {self.type_of(shape.value)}>"
        return SCALARS[shape.kind]

    def is_time(self, name):
        return name in self.shapes and self.shapes[name].kind == "timestamp"


def snake(name):
    for word in ("KiB", "MiBps", "ARN"):
        name = name.replace(word, word.capitalize())
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def field_name(schema, member, shape):
    return snake(member) + ("_ms" if schema.is_time(shape) else "")


def constant(word):
    """ENUM_WORD or EnumWord as kEnumWord."""
    if "_" in word or word.isupper():
        return "k" + "".join(part.capitalize() for part in word.split("_"))
    return "k" + word


def in_order(schema):
    """Structs, each after those that it holds."""
    done = []

    def visit(name):
        if name in schema.shapes:
            for part in (schema.shapes[name].of, schema.shapes[name].value):
                if part:
                    visit(part)
        elif schema.structs[name] not in done:
            for _, _, shape in schema.structs[name].members:
                visit(shape)
            done.append(schema.structs[name])
    for name in schema.structs:
        visit(name)
    return done


def messages_h(schema):
    out = ["""#pragma once
// The messages of the Kinesis API, generated from broker/protocol/kinesis/api.schema. A member that
// the API does not require is a std::optional; blobs are decoded bytes; timestamps are Unix
// milliseconds. Plain values without rules: decode.h checks them.
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace broker::protocol::kinesis {
"""]
    out.append("enum class Operation : uint8_t {")
    out += [f"  k{name}," for name in schema.operations]
    out.append("};")
    out.append(f"inline constexpr size_t kOperationCount = {len(schema.operations)};")
    out.append('// "PutRecords", as in X-Amz-Target and in metrics.')
    out.append("std::string_view to_string(Operation operation);")
    out.append("std::optional<Operation> find_operation(std::string_view name);\n")
    for shape in schema.shapes.values():
        if shape.enum:
            out.append(f"struct {shape.name} {{")
            out += [f'  static constexpr std::string_view {constant(word)} = "{word}";'
                    for word in shape.enum]
            out.append("};\n")
    for struct in in_order(schema):
        out.append(f"struct {struct.name} {{")
        if struct.operation and struct.name.endswith("Request"):
            out.append(f"  static constexpr Operation kOperation = Operation::k{struct.operation};")
            out.append(f"  using Response = struct {struct.operation}Response;")
        for member, required, shape in struct.members:
            kind = schema.type_of(shape)
            if not required:
                kind = f"std::optional<{kind}>"
            initial = " = 0" if kind in ("int32_t", "int64_t") else \
                " = false" if kind == "bool" else ""
            out.append(f"  {kind} {field_name(schema, member, shape)}{initial};")
        out.append(f"  bool operator==(const {struct.name}&) const = default;")
        out.append("};\n")
    out.append("// In the order of Operation.")
    out.append("using Request = std::variant<\n    " + ",\n    ".join(
        name + "Request" for name in schema.operations) + ">;\n")
    out.append("}  // namespace broker::protocol::kinesis")
    return out


def fields_h(schema):
    out = ["""#pragma once
// The members of every message with their names and rules, generated from
// broker/protocol/kinesis/api.schema. Only the codecs and the tests include it.
#include "broker/protocol/kinesis/messages.h"
#include "broker/protocol/kinesis/shape.h"

namespace broker::protocol::kinesis {

// Fields<T>::each(message, f) calls f(const Member&, field) for every member.
template <class T>
struct Fields;

namespace shapes {
"""]
    out += [f"extern const Shape k{name};" for name in list(schema.shapes) + list(schema.structs)]
    out.append("}  // namespace shapes\n")
    for struct in in_order(schema):
        out.append("template <>")
        out.append(f"struct Fields<{struct.name}> {{")
        out.append(f'  static constexpr std::string_view kName = "{struct.name}";')
        out.append(f"  static constexpr bool kNamed = {str(struct.named).lower()};")
        out.append("  template <class M, class F>")
        out.append("  static void each(M& m, F&& f) {")
        for member, required, shape in struct.members:
            out.append(f'    f(Member{{"{member}", shapes::k{shape}, {str(required).lower()}}}, '
                       f"m.{field_name(schema, member, shape)});")
        if not struct.members:
            out.append("    (void)m, (void)f;")
        out.append("  }")
        out.append("};\n")
    out.append("}  // namespace broker::protocol::kinesis")
    return out


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def shape_definition(shape):
    parts = [f".kind = Kind::k{shape.kind.capitalize()}", f".name = {quoted(shape.name)}"]
    if shape.min:
        parts.append(f".min = {shape.min}")
    if shape.max:
        parts.append(f".max = {shape.max}")
    if shape.check:
        parts.append(f".pattern = {quoted(shape.text)}, .matches = patterns::{shape.check}")
    if shape.enum:
        parts.append(".words = {" + ", ".join(quoted(word) for word in shape.enum) + "}")
    if shape.kind == "map":
        parts.append(f".element = &k{shape.value}")
        parts.append(f".key = &k{shape.of}")
    elif shape.of:
        parts.append(f".element = &k{shape.of}")
    return f"const Shape k{shape.name}{{{', '.join(parts)}}};"


def table_cc(schema):
    out = ["""// Generated from broker/protocol/kinesis/api.schema.
#include "broker/protocol/kinesis/decode_impl.h"
#include "broker/protocol/kinesis/encode_impl.h"
#include "broker/protocol/kinesis/fields.h"
#include "broker/protocol/kinesis/patterns.h"

namespace broker::protocol::kinesis {
namespace shapes {
"""]
    out += [shape_definition(shape) for shape in schema.shapes.values()]
    out += [f"const Shape k{name}{{.kind = Kind::kStruct, .name = {quoted(name)}}};"
            for name in schema.structs]
    out.append("}  // namespace shapes\n")
    out.append("namespace {")
    out.append("constexpr std::string_view kNames[] = {")
    out += [f'    "{name}",' for name in schema.operations]
    out.append("};\n}  // namespace\n")
    out.append("""std::string_view to_string(Operation operation) {
  return kNames[static_cast<size_t>(operation)];
}

std::optional<Operation> find_operation(std::string_view name) {
  for (size_t i = 0; i < kOperationCount; ++i) {
    if (kNames[i] == name) return static_cast<Operation>(i);
  }
  return std::nullopt;
}

std::optional<Error> decode(Operation operation, Format format, std::string& body, Request& out) {
  switch (operation) {""")
    for name in schema.operations:
        out.append(f"    case Operation::k{name}:")
        out.append(f"      return decode_body(format, body, out.emplace<{name}Request>());")
    out.append("""  }
  return std::nullopt;
}
""")
    for name in schema.operations:
        out.append(f"template std::string encode(Format, const {name}Request&);")
        out.append(f"template std::string encode(Format, const {name}Response&);")
        out.append("template std::optional<Error> decode_message(Format, std::string&, "
                   f"{name}Response&);")
    out.append("\n}  // namespace broker::protocol::kinesis")
    return out


def write(path, lines):
    text = "\n".join(lines) + "\n"
    try:
        with open(path, encoding="utf-8") as old:
            if old.read() == text:
                return
    except OSError:
        pass
    with open(path, "w", encoding="utf-8") as new:
        new.write(text)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    folder = sys.argv[1]
    schema = Schema(sys.argv[2])
    os.makedirs(folder, exist_ok=True)
    write(os.path.join(folder, "messages.h"), messages_h(schema))
    write(os.path.join(folder, "fields.h"), fields_h(schema))
    write(os.path.join(folder, "codec_table.cc"), table_cc(schema))


if __name__ == "__main__":
    main()
