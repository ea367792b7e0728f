#!/usr/bin/env python3
"""Checks that every #include follows the module graph, and that the graph has no cycle.

A module is a folder with a CMakeLists.txt; files in sub-folders without one belong to it. Modules
not listed in ALLOWED, and edges not listed, are errors: adding one is a decision, made here.
usage: layers.py [ROOT]
"""
import pathlib
import re
import sys

BROKER = {
    "base": [],
    "env": ["base"],
    "env/posix": ["env"],
    "proto": ["base"],
    "model": ["base"],
    "storage": ["model", "env"],
    "replication/core": ["model"],
    "quotas": ["proto", "env"],
    "metering": ["model", "proto"],
    "coordination": ["security/acls", "quotas", "metering", "proto", "env"],
    "security": ["proto"],
    "security/acls": ["proto"],
    "cluster": ["model", "env", "proto"],
    "cluster/grpc": ["cluster", "proto", "env"],
    "partition": ["storage", "replication/core", "cluster", "model", "env", "proto",
                  "coordination", "metering"],
    "routing": ["partition", "cluster", "model", "env"],
    "link": ["partition", "routing", "replication/core", "cluster", "env", "env/posix"],
    "groups/core": [],
    "groups": ["groups/core", "partition", "cluster", "model", "env", "proto"],
    "protocol/kafka": ["model"],
    "protocol/kinesis": [],
    "handlers/kafka": ["security", "security/acls", "quotas", "groups", "protocol/kafka", "partition", "cluster",
                       "model", "env", "proto", "coordination"],
    "handlers/grpc": ["metering", "routing", "partition", "cluster", "model", "env", "proto", "coordination"],
    "handlers/kinesis": ["protocol/kinesis", "security", "quotas", "routing", "partition", "cluster",
                         "model", "env", "proto", "coordination"],
    "server/socket": ["security", "env", "env/posix"],
    "server/kafka": ["server/socket", "security", "handlers/kafka", "protocol/kafka", "env", "env/posix"],
    "server/kinesis": ["server/socket", "security", "protocol/kinesis", "env", "env/posix"],
    "server/grpc": ["security", "quotas", "handlers/grpc", "cluster", "proto", "env"],
    "server/http": ["env", "env/posix"],
    "cli": ["metering", "proto", "protocol/kafka", "groups/core", "coordination", "model", "env", "env/posix"],
    "app": ["*"],
}
OPERATOR = {
    "kube": [],
    "certs": [],
    "api": [],
    "runtime": ["kube"],
    "plan": ["api"],
    "status": ["api"],
    "autoscale": ["api"],
    "admission": ["api"],
    "observe": ["kube", "api"],
    "apply": ["kube", "api"],
    "coordinator": ["runtime"],
    "metadata": ["kube", "api"],
    "webhook": ["admission", "kube", "api", "metadata"],
    "reconcile": ["observe", "plan", "apply", "status", "runtime", "api", "kube", "certs",
                  "coordinator", "autoscale", "metadata", "webhook"],
    "app": ["*"],
}
# The command line runs what is pure of the operator: its planners, on traces and on edits.
PURE = {"cli": ["autoscale", "api", "plan", "admission"]}
# What the operator may use of the broker: the shared ground, and the coordinator's state machine.
SHARED = ["base", "proto", "env", "env/posix", "model", "coordination", "security", "security/acls",
          "quotas", "metering"]


def module_of(path, table):
    """The longest module name that `path` (a folder, as text) is or lies below."""
    while path:
        if path in table:
            return path
        path = path.rpartition("/")[0]
    return None


def check_file(file, root, table, side, problems):
    folder = file.parent.relative_to(root / side).as_posix()
    module = module_of(folder, table)
    if module is None:
        problems.append(f"{file.relative_to(root)}: no module of the graph")
        return
    test = file.stem.endswith(("_test", "_bench", "_fuzz")) or file.stem.startswith("test_")
    for number, line in enumerate(file.read_text().splitlines(), 1):
        match = re.match(r'\s*#include "((?:broker|operator|tests)/[^"]+)"', line)
        if not match:
            continue
        target_side, _, rest = match.group(1).partition("/")
        if target_side == "tests" or test:
            if target_side == "tests" and not test:
                problems.append(f"{file.relative_to(root)}:{number}: includes test code")
            continue
        target_table = BROKER if target_side == "broker" else OPERATOR
        target = module_of(rest.rpartition("/")[0], target_table)
        if target_side == side:
            allowed = target == module or target == "base" and side == "broker" \
                or "*" in table[module] or target in table[module]
        else:
            allowed = side == "operator" and target in SHARED \
                or side == "broker" and target in PURE.get(module, [])
        if not allowed:
            problems.append(f"{file.relative_to(root)}:{number}: {side}/{module} must not use "
                            f"{target_side}/{target}")


def find_cycle(table):
    state = {}

    def visit(module, path):
        if state.get(module) == "done":
            return None
        if module in path:
            return path[path.index(module):] + [module]
        for target in table[module]:
            if target != "*":
                cycle = visit(target, path + [module])
                if cycle:
                    return cycle
        state[module] = "done"
        return None

    for module in table:
        cycle = visit(module, [])
        if cycle:
            return cycle
    return None


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    problems = []
    for side, table in (("broker", BROKER), ("operator", OPERATOR)):
        cycle = find_cycle(table)
        if cycle:
            problems.append(f"{side}: cycle " + " -> ".join(cycle))
        for file in sorted((root / side).rglob("*")):
            if file.suffix in (".h", ".cc"):
                check_file(file, root, table, side, problems)
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
