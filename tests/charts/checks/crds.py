"""The custom resource definitions on the real API server: tables of objects it must take or refuse.

A file cases/*.yaml holds a `base` object and `cases`. A case is
  name     what is shown
  object   a merge patch of the base: what is created (absent: the base itself)
  update   a merge patch of what was created, sent as a PATCH
  scale    a number of replicas, written through the scale subresource
  status   a merge patch of the status subresource
  refused  a part of the message of the last step's refusal; absent, every step must be taken
  expect   dotted path -> value, after the last step; null means that the field is absent
"""

import copy
import os
import subprocess
import time

import yaml

from .apiserver import ApiError

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
GROUP = "/apis/sluice.dev/v1alpha1"
NAMESPACE = "cases"
MERGE_PATCH = "application/merge-patch+json"


def load(crd_dir):
    """The definitions by kind."""
    found = {}
    for name in sorted(os.listdir(crd_dir)):
        with open(f"{crd_dir}/{name}", encoding="utf-8") as f:
            crd = yaml.safe_load(f)
        found[crd["spec"]["names"]["kind"]] = crd
    return found


def install(server, crds, report):
    """Creates the definitions and waits until they are served."""
    for kind, crd in crds.items():
        try:
            server.request("POST", DEFINITIONS, crd)
        except ApiError as error:
            report.check(f"{kind}: the definition is taken", False, error)
            return False
    for kind, crd in crds.items():
        conditions = wait_established(server, crd["metadata"]["name"])
        ok = conditions.get("Established") == "True" and conditions.get("NonStructuralSchema") != "True"
        if not report.check(f"{kind}: the definition is established and structural", ok, conditions):
            return False
    return True


def wait_established(server, name, timeout_s=20):
    deadline = time.monotonic() + timeout_s
    while True:
        crd = server.request("GET", f"{DEFINITIONS}/{name}")
        conditions = {c["type"]: c["status"] for c in (crd.get("status", {}).get("conditions") or [])}
        if conditions.get("Established") == "True":
            wait_served(server, crd["spec"], deadline)
            return conditions
        if time.monotonic() > deadline:
            return conditions
        time.sleep(0.1)


def wait_served(server, spec, deadline):
    """Established precedes the first served request by a moment."""
    path = f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}"
    while time.monotonic() < deadline:
        try:
            server.request("GET", path)
            return
        except ApiError:
            time.sleep(0.1)


def merge(base, patch):
    """RFC 7386."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = copy.deepcopy(base) if isinstance(base, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def look_up(obj, path):
    """The value at a dotted path (list indexes are numbers), or None."""
    for step in path.split("."):
        if isinstance(obj, list):
            obj = obj[int(step)] if int(step) < len(obj) else None
        elif isinstance(obj, dict):
            obj = obj.get(step)
        else:
            return None
    return obj


def run_case(server, collection, base, case, number):
    """Runs one case; returns what is wrong, or an empty string."""
    obj = merge(base, case.get("object", {}))
    obj["metadata"].setdefault("name", f"case-{number}")
    steps = [("POST", collection, obj, "application/json")]
    item = f"{collection}/{obj['metadata']['name']}"
    if "update" in case:
        steps.append(("PATCH", item, case["update"], MERGE_PATCH))
    if "scale" in case:
        steps.append(("PATCH", f"{item}/scale", {"spec": {"replicas": case["scale"]}}, MERGE_PATCH))
    if "status" in case:
        steps.append(("PATCH", f"{item}/status", {"status": case["status"]}, MERGE_PATCH))
    result = {}
    for index, step in enumerate(steps):
        try:
            result = server.request(*step)
        except ApiError as error:
            last = index == len(steps) - 1
            if last and case.get("refused") and case["refused"] in error.message:
                return ""
            return f"refused: {error.message}"
    if case.get("refused"):
        return f"taken, but it must be refused with: {case['refused']}"
    if case.get("expect"):
        result = server.request("GET", item)
    wrong = [f"{path} is {look_up(result, path)!r}, not {value!r}"
             for path, value in case.get("expect", {}).items() if look_up(result, path) != value]
    return "\n".join(wrong)


def run_cases(server, crds, case_dir, report):
    server.request("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    number = 0
    for name in sorted(os.listdir(case_dir)):
        with open(f"{case_dir}/{name}", encoding="utf-8") as f:
            table = yaml.safe_load(f)
        plural = crds[table["base"]["kind"]]["spec"]["names"]["plural"]
        collection = f"{GROUP}/namespaces/{NAMESPACE}/{plural}"
        for case in table["cases"]:
            number += 1
            wrong = run_case(server, collection, table["base"], case, number)
            report.check(f"{table['base']['kind']}: {case['name']}", not wrong, wrong)


def check_descriptions(crds, report):
    """Every field says what it is: `kubectl explain` is the reference."""
    for kind, crd in crds.items():
        schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        bare = list(undescribed(schema, kind))
        report.check(f"{kind}: every field has a description", not bare, "\n".join(bare))


def undescribed(schema, path):
    for name, field in schema.get("properties", {}).items():
        where = f"{path}.{name}"
        if "description" not in field and not where.endswith(f"{path}.metadata"):
            yield where
        yield from undescribed(field, where)
    for inner in (schema.get("items"), schema.get("additionalProperties")):
        if isinstance(inner, dict):
            yield from undescribed(inner, path + "[]")


def check_columns(server, crds, report):
    """`kubectl get` shows the columns, by short name and by category."""
    for kind, crd in crds.items():
        want = [c["name"].upper() for c in crd["spec"]["versions"][0]["additionalPrinterColumns"]]
        short = crd["spec"]["names"]["shortNames"][0]
        shown = kubectl(server, "get", short, "-n", NAMESPACE, "-o", "wide")
        header = shown.stdout.split("\n", 1)[0]
        report.check(f"{kind}: kubectl get {short} shows {', '.join(want)}",
                     shown.returncode == 0 and all(c in header for c in want), shown.stdout + shown.stderr)
    shown = kubectl(server, "get", "sluice", "-n", NAMESPACE, "-o", "name")
    missing = [kind for kind in crds if f"{kind.lower()}.sluice.dev/" not in shown.stdout]
    report.check("kubectl get sluice shows every kind", not missing, missing)


def check_scale(server, report):
    """`kubectl scale` and the selector that an autoscaler reads."""
    item = f"{GROUP}/namespaces/{NAMESPACE}/streamclusters"
    server.request("POST", item, {"apiVersion": "sluice.dev/v1alpha1", "kind": "StreamCluster",
                                  "metadata": {"name": "scaled"}, "spec": {"brokers": 3}})
    server.request("PATCH", f"{item}/scaled/status",
                   {"status": {"brokers": 3, "selector": "app.kubernetes.io/instance=scaled"}}, MERGE_PATCH)
    done = kubectl(server, "scale", "scl", "scaled", "--replicas=4", "-n", NAMESPACE)
    scale = server.request("GET", f"{item}/scaled/scale")
    report.check("kubectl scale changes spec.brokers; the scale subresource shows status and selector",
                 done.returncode == 0 and scale["spec"]["replicas"] == 4 and
                 scale["status"] == {"replicas": 3, "selector": "app.kubernetes.io/instance=scaled"},
                 f"{done.stderr}\n{scale}")


def check_large_map(server, report):
    """The map of the largest stream fits into one object while every shard changes its members."""
    most = 2000  # the maximum of Stream.spec.partitions
    member = {"broker": 499, "directory": "0d2f7c8e-5b1a-4c7d-9e1f-0123456789ab"}
    shard = {"state": "SHARD_STATE_SEALING", "term": 2147483647, "leader": 499,
             "hashRange": {"start": "0" * 39, "end": "9" * 39}, "replicas": [member] * 3,
             "nextReplicas": [member] * 3, "learners": [member],
             "openedGeneration": "9" * 18, "openedMs": "1767323045000"}
    shards = [dict(shard, index=i) for i in range(most)]
    wrong = ""
    try:
        server.request("POST", f"{GROUP}/namespaces/{NAMESPACE}/shardmaps", {
            "apiVersion": "sluice.dev/v1alpha1", "kind": "ShardMap", "metadata": {"name": "largest"},
            "spec": {"streamId": "largest", "stream": "largest", "cluster": "demo", "nextIndex": most,
                     "shards": shards}})
    except ApiError as error:
        wrong = error
    report.check(f"ShardMap: {most} shards with 7 copies each fit into one object", not wrong, wrong)


def check_explain(server, report):
    shown = kubectl(server, "explain", "streamcluster.spec.limits.shardWriteBytesPerSecond")
    report.check("kubectl explain says the unit of a limit", "bytes per second" in shown.stdout.lower(),
                 shown.stdout + shown.stderr)


def remove(server, timeout_s=30):
    """Deletes the definitions with all objects and waits until they are gone."""
    for crd in server.request("GET", DEFINITIONS)["items"]:
        server.request("DELETE", f"{DEFINITIONS}/{crd['metadata']['name']}")
    deadline = time.monotonic() + timeout_s
    while server.request("GET", DEFINITIONS)["items"] and time.monotonic() < deadline:
        time.sleep(0.1)


def kubectl(server, *args):
    return subprocess.run(["kubectl", *args], env=server.environment(), capture_output=True,
                          text=True, timeout=60, check=False)
