"""JSON schemas for kubeconform, from a live API server and from our own definitions.

kubeconform fetches schemas from the internet by default. These come from the server under test, so
they are of its version, need no network, and hold the custom resources too. They are strict: a
field that the API does not know is an error.
"""

import json
import os

DEFINITIONS = "#/definitions/"
INT_OR_STRING = {"anyOf": [{"type": "integer"}, {"type": "string"}]}
NUMBER_OR_STRING = {"anyOf": [{"type": "number"}, {"type": "string"}]}


def write_all(server, crds, out_dir):
    """Writes KIND_GROUP_VERSION.json for every kind; returns the location for kubeconform."""
    os.makedirs(out_dir, exist_ok=True)
    definitions = server.request("GET", "/openapi/v2")["definitions"]
    strict = {name: tighten(schema) for name, schema in definitions.items()}
    for name, schema in strict.items():
        for gvk in definitions[name].get("x-kubernetes-group-version-kind", []):
            write(out_dir, gvk, bundle(name, schema, strict))
    # These replace what the server publishes of the same kinds: it leaves out a part of the schema.
    for kind, crd in crds.items():
        version = crd["spec"]["versions"][0]
        schema = tighten(version["schema"]["openAPIV3Schema"])
        schema["properties"]["metadata"] = {"type": "object"}
        write(out_dir, {"group": crd["spec"]["group"], "version": version["name"], "kind": kind}, schema)
    return out_dir + "/{{.ResourceKind}}_{{.Group}}_{{.ResourceAPIVersion}}.json"


def write(out_dir, gvk, schema):
    # kubeconform's Group of a core kind is its version: "v1".
    group = gvk["group"] or gvk["version"]
    with open(f"{out_dir}/{gvk['kind'].lower()}_{group}_{gvk['version']}.json", "w", encoding="utf-8") as f:
        json.dump(schema, f)


def tighten(schema):
    """A JSON schema of an OpenAPI one: unknown fields refused, int-or-string and quantities both ways."""
    if schema.get("x-kubernetes-int-or-string") or schema.get("format") == "int-or-string":
        return dict(INT_OR_STRING)
    if schema.get("description", "").startswith("Quantity is a fixed-point representation"):
        return dict(NUMBER_OR_STRING)
    result = {key: value for key, value in schema.items()
              if not key.startswith("x-kubernetes-") and key not in ("format", "default", "description")}
    if "properties" in schema:
        result["properties"] = {name: tighten(field) for name, field in schema["properties"].items()}
        free = schema.get("x-kubernetes-preserve-unknown-fields")
        if "additionalProperties" not in schema and not free:
            result["additionalProperties"] = False
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            result[key] = tighten(schema[key])
    return result


def bundle(name, schema, definitions):
    """A schema with every definition that it reaches: one file without references to others."""
    needed, todo = {}, [schema]
    while todo:
        for target in references(todo.pop()):
            if target not in needed:
                needed[target] = definitions[target]
                todo.append(definitions[target])
    return {"$ref": DEFINITIONS + name, "definitions": {name: schema, **needed}}


def references(schema):
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"][len(DEFINITIONS):]
        for value in schema.values():
            yield from references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from references(value)
