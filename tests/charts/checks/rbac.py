"""What the operator may do: compared with a reviewed list, and asked of a real authorizer."""

import yaml

from .chart import VARIANTS

FORBIDDEN_VERBS = {"*", "escalate", "bind", "impersonate", "deletecollection"}
ACCOUNT = "system:serviceaccount:sluice-system:sluice-operator"

# namespace, verb, group, resource[#name] -> allowed? Asked with the chart's default values installed.
QUESTIONS = [
    ("apps-ns", "create", "apps", "statefulsets", True),
    ("apps-ns", "patch", "sluice.dev", "streamclusters/status", True),
    ("apps-ns", "create", "sluice.dev", "shardmaps", True),
    ("apps-ns", "get", "", "secrets", True),
    ("apps-ns", "delete", "", "persistentvolumeclaims", True),
    ("sluice-system", "update", "coordination.k8s.io", "leases#sluice-operator", True),
    ("sluice-system", "update", "coordination.k8s.io", "leases#another", False),
    ("apps-ns", "patch", "", "secrets", True),
    ("apps-ns", "delete", "", "secrets", False),
    (None, "list", "", "nodes", True),
    (None, "list", "", "secrets", False),
    ("apps-ns", "list", "", "secrets", False),
    ("apps-ns", "watch", "", "secrets", False),
    ("apps-ns", "delete", "", "pods", True),
    ("apps-ns", "patch", "", "persistentvolumeclaims", True),
    ("apps-ns", "create", "", "persistentvolumeclaims", False),
    ("apps-ns", "watch", "autoscaling", "horizontalpodautoscalers", True),
    ("apps-ns", "update", "autoscaling", "horizontalpodautoscalers", False),
    ("apps-ns", "create", "", "pods", False),
    ("apps-ns", "patch", "", "pods", False),
    ("apps-ns", "create", "", "pods/exec", False),
    ("apps-ns", "create", "", "serviceaccounts/token", False),
    ("apps-ns", "delete", "sluice.dev", "streamclusters", False),
    ("apps-ns", "update", "coordination.k8s.io", "leases", False),
    ("apps-ns", "create", "rbac.authorization.k8s.io", "roles", False),
    (None, "patch", "", "nodes", False),
    (None, "delete", "", "namespaces", False),
    (None, "patch", "apiextensions.k8s.io", "customresourcedefinitions", False),
]


def flatten(objects):
    """One sorted line a permission: ROLE NAMESPACE GROUP/RESOURCE [NAMES]: VERBS."""
    lines = []
    for role in objects:
        if role["kind"] not in ("Role", "ClusterRole"):
            continue
        where = role["metadata"].get("namespace", "*")
        for rule in role["rules"]:
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    names = f" {' '.join(rule['resourceNames'])}" if "resourceNames" in rule else ""
                    lines.append(f"{role['kind']} {role['metadata']['name']} in {where}: "
                                 f"{group or 'core'}/{resource}{names}: {' '.join(rule['verbs'])}")
    return sorted(lines)


def check_golden(chart, golden_dir, update, report):
    """A change of a permission shows up as a change of a file that is read in review."""
    for name in ("defaults", "one namespace"):
        path = f"{golden_dir}/rbac-{name.replace(' ', '-')}.txt"
        got = "\n".join(flatten(chart.objects(VARIANTS[name]))) + "\n"
        if update:
            with open(path, "w", encoding="utf-8") as f:
                f.write(got)
        with open(path, encoding="utf-8") as f:
            want = f.read()
        changed = set(got.splitlines()) ^ set(want.splitlines())
        report.check(f"permissions are the reviewed ones, {name} (tests/charts/run --update writes them)",
                     not changed, "\n".join(sorted(changed)))


def check_least_privilege(chart, report):
    for name, values in VARIANTS.items():
        faults = [fault for o in chart.objects(values) if o["kind"] in ("Role", "ClusterRole")
                  for fault in role_faults(o)]
        report.check(f"no wildcard, no escalation, no list of secrets, {name}", not faults, "\n".join(faults))


def role_faults(role):
    for rule in role["rules"]:
        where = f"{role['kind']} {role['metadata']['name']}: {yaml.safe_dump(rule, default_flow_style=True)}"
        verbs, resources = set(rule["verbs"]), set(rule.get("resources", []))
        if "*" in rule.get("apiGroups", []) or any("*" in r for r in resources):
            yield f"wildcard: {where}"
        if verbs & FORBIDDEN_VERBS:
            yield f"forbidden verb: {where}"
        if "secrets" in resources and verbs & {"list", "watch"}:
            yield f"secrets can be listed: {where}"
        if rule.get("nonResourceURLs"):
            yield f"paths without a resource: {where}"


def check_authorizer(server, report):
    """SubjectAccessReviews while the chart is installed with its defaults."""
    for namespace, verb, group, resource, want in QUESTIONS:
        path, _, name = resource.partition("#")
        plural, _, subresource = path.partition("/")
        attributes = {"verb": verb, "group": group, "resource": plural, "subresource": subresource, "name": name}
        if namespace:
            attributes["namespace"] = namespace
        answer = server.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", {
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": {"user": ACCOUNT, "groups": ["system:serviceaccounts", "system:authenticated"],
                     "resourceAttributes": attributes}})
        allowed = answer["status"]["allowed"]
        report.check(f"the operator may {'' if want else 'not '}{verb} {resource}"
                     f"{' in ' + namespace if namespace else ' everywhere'}", allowed == want, answer["status"])
