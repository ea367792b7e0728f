"""The chart: lint, values that must be refused, rendered objects against schemas, Pod Security."""

import json
import shutil
import subprocess

import yaml

# The sets of values that every check of rendered objects runs on.
VARIANTS = {
    "defaults": {},
    "one namespace": {"watchNamespaces": ["team-a"]},
    "two namespaces": {"watchNamespaces": ["team-a", "team-b"], "upgradeBrokers": True},
    "everything": {
        "fullnameOverride": "streams-operator", "replicas": 3, "brokerImage": "registry.example.com/sluice:1",
        "image": {"repository": "registry.example.com/sluice", "digest": "sha256:" + "0" * 64,
                  "pullPolicy": "Always"},
        "imagePullSecrets": ["pull"], "priorityClassName": "system-cluster-critical",
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "infra", "operator": "Exists", "effect": "NoSchedule"}],
        "podLabels": {"team": "streams"}, "podAnnotations": {"example.com/a": "b"},
        "serviceAccount": {"create": True, "name": "streams", "annotations": {"example.com/role": "x"}},
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "podMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}, "dashboards": {"enabled": True},
        "logLevel": "debug", "logFormat": "text",
    },
    "bare": {"replicas": 1, "webhook": {"enabled": False}, "crds": {"install": False}, "rbac": {"create": False},
             "serviceAccount": {"create": False, "name": "given"}, "podDisruptionBudget": {"enabled": False}},
}

# values -> what the refusal must name.
REFUSED = [
    ({"replica": 3}, "replica"),
    ({"replicas": 0}, "replicas"),
    ({"replicas": "two"}, "replicas"),
    ({"replicas": 6}, "replicas"),
    ({"image": {"repository": ""}}, "image"),
    ({"image": {"repository": "slu ice"}}, "image"),
    ({"image": {"digest": "sha256:abc"}}, "digest"),
    ({"image": {"tags": "dev"}}, "tags"),
    ({"image": {"pullPolicy": "Sometimes"}}, "pullPolicy"),
    ({"brokerImage": "a b"}, "brokerImage"),
    ({"watchNamespaces": "team-a"}, "watchNamespaces"),
    ({"watchNamespaces": ["Team_A"]}, "watchNamespaces"),
    ({"watchNamespaces": ["a", "a"]}, "watchNamespaces"),
    ({"upgradeBrokers": "sometimes"}, "upgradeBrokers"),
    ({"logLevel": "loud"}, "logLevel"),
    ({"logFormat": "xml"}, "logFormat"),
    ({"resources": {"requests": {"memory": "64 MB"}}}, "memory"),
    ({"resources": {"claims": []}}, "claims"),
    ({"tolerations": [{"effect": "Maybe"}]}, "effect"),
    ({"podDisruptionBudget": {"enabled": "yes"}}, "podDisruptionBudget"),
    ({"crds": {"keep": True}}, "keep"),
    ({"webhook": {"failurePolicy": "Maybe"}}, "failurePolicy"),
    ({"webhook": {"timeoutSeconds": 60}}, "timeoutSeconds"),
    ({"prometheusRule": {"runbook": "a#b"}}, "runbook"),
    ({"serviceMonitor": {"interval": "often"}}, "interval"),
    ({"fullnameOverride": "-x"}, "fullnameOverride"),
]


def run(args, env=None, text=None):
    return subprocess.run(args, input=text, env=env, capture_output=True, text=True, timeout=120, check=False)


class Chart:
    def __init__(self, bin_dir, path, kube_version):
        self.helm = f"{bin_dir}/helm"
        self.kubeconform = f"{bin_dir}/kubeconform"
        self.path = path
        self.kube_version = kube_version

    def template(self, values, release="sluice", namespace="sluice-system"):
        """`helm template` with values; returns the finished process."""
        return run([self.helm, "template", release, self.path, "--namespace", namespace,
                    "--kube-version", self.kube_version, "--values", "-"], text=json.dumps(values))

    def objects(self, values):
        done = self.template(values)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        return [o for o in yaml.safe_load_all(done.stdout) if o]


def check_lint(chart, report):
    for name, values in VARIANTS.items():
        done = run([chart.helm, "lint", "--strict", chart.path, "--kube-version", chart.kube_version,
                    "--values", "-"], text=json.dumps(values))
        report.check(f"helm lint --strict, {name}", done.returncode == 0, done.stdout + done.stderr)


def check_refused_values(chart, report):
    for values, named in REFUSED:
        done = chart.template(values)
        report.check(f"values are refused: {json.dumps(values)}",
                     done.returncode != 0 and "schema" in done.stderr and named in done.stderr,
                     done.stderr or "they were taken")


def check_schemas(chart, location, skipped_kinds, report):
    """kubeconform -strict on every variant; kinds without a schema are named and counted."""
    for name, values in VARIANTS.items():
        rendered = chart.template(values)
        done = run([chart.kubeconform, "-strict", "-summary", "-output", "json", "-schema-location", location,
                    "-skip", ",".join(skipped_kinds), "-"], text=rendered.stdout)
        summary = json.loads(done.stdout or "{}").get("summary", {})
        ok = done.returncode == 0 and summary.get("valid", 0) > 0
        report.check(f"kubeconform -strict, {name}: {summary.get('valid', 0)} valid, "
                     f"{summary.get('skipped', 0)} skipped", ok, done.stdout + done.stderr)


def check_package(chart, crds, work_dir, report):
    """The archive holds the definitions themselves, not links to them."""
    done = run([chart.helm, "package", chart.path, "--destination", work_dir])
    archive = done.stdout.strip().rsplit(" ", 1)[-1]
    packed = run([chart.helm, "template", archive, "--kube-version", chart.kube_version])
    kinds = [o["spec"]["names"]["kind"] for o in yaml.safe_load_all(packed.stdout)
             if o and o["kind"] == "CustomResourceDefinition"]
    report.check("the packaged chart brings every definition", sorted(kinds) == sorted(crds),
                 f"{kinds}\n{done.stderr}{packed.stderr}")


def check_pods(chart, report):
    """Restricted Pod Security and what a well-kept Deployment has, on every variant."""
    for name, values in VARIANTS.items():
        deployment = next(o for o in chart.objects(values) if o["kind"] == "Deployment")
        wrong = list(pod_faults(deployment["spec"]["template"]["spec"]))
        report.check(f"the operator's pods are restricted, probed and bounded, {name}", not wrong,
                     "\n".join(wrong))


def pod_faults(pod):
    security, container = pod["securityContext"], pod["containers"][0]
    own = container["securityContext"]
    wanted = {
        "runs as a user other than root": security.get("runAsNonRoot") and security.get("runAsUser") == 65532,
        "seccomp RuntimeDefault": security.get("seccompProfile", {}).get("type") == "RuntimeDefault",
        "no privilege escalation": own.get("allowPrivilegeEscalation") is False,
        "read-only root file system": own.get("readOnlyRootFilesystem") is True,
        "no capabilities": own.get("capabilities", {}).get("drop") == ["ALL"],
        "memory limit": container["resources"].get("limits", {}).get("memory"),
        "spread over zones": pod.get("topologySpreadConstraints"),
    }
    for probe, path in (("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
        wanted[f"{probe} on {path}"] = container.get(probe, {}).get("httpGet", {}).get("path") == path
    return [f"missing: {what}" for what, there in wanted.items() if not there]


def check_dashboards(chart, report):
    """Grafana gets them as they are in the files; e2e asks a Prometheus every query."""
    maps = [o for o in chart.objects({"dashboards": {"enabled": True}})
            if o["kind"] == "ConfigMap" and "-dashboard-" in o["metadata"]["name"]]
    boards = [json.loads(text) for o in maps for text in o["data"].values()]
    report.check("three dashboards with titles and queries", len(boards) == 3 and all(
        b["title"] and b["panels"] and all(p["title"] and p["targets"] for p in b["panels"]) for b in boards),
        [b.get("title") for b in boards])
    ids = [b["uid"] for b in boards]
    report.check("dashboards have ids of their own", len(set(ids)) == len(ids), ids)


def check_rules(chart, promtool, alert_tests, work_dir, report):
    """The alerts, read and tried on made-up series by Prometheus' own tool."""
    rule = next(o for o in chart.objects({"prometheusRule": {"enabled": True}}) if o["kind"] == "PrometheusRule")
    with open(f"{work_dir}/rules.yaml", "w", encoding="utf-8") as f:
        yaml.safe_dump(rule["spec"], f)
    shutil.copy(alert_tests, f"{work_dir}/alerts.yaml")
    for command, path in (("check", "rules.yaml"), ("test", "alerts.yaml")):
        done = run([promtool, command, "rules", f"{work_dir}/{path}"])
        report.check(f"promtool {command} rules", done.returncode == 0, done.stdout + done.stderr)
    bare = [r["alert"] for g in rule["spec"]["groups"] for r in g["rules"]
            if not r.get("annotations", {}).get("description") or not r.get("labels", {}).get("severity")]
    report.check("every alert has a severity and says what to do", not bare, bare)
    check_runbooks(chart, [r for g in rule["spec"]["groups"] for r in g["rules"]], report)


def check_runbooks(chart, alerts, report):
    """Each alert points to its paragraph, which says what it means, where to look and what to do."""
    with open(f"{chart.path}/RUNBOOKS.md", encoding="utf-8") as f:
        paragraphs = dict(part.split("\n", 1) for part in f.read().split("\n## ")[1:])
    wrong = [a["alert"] for a in alerts
             if a["annotations"].get("runbook_url") != f"RUNBOOKS.md#{a['alert'].lower()}"]
    report.check("every alert's runbook_url points to its paragraph", not wrong, wrong)
    names = [a["alert"] for a in alerts]
    report.check("RUNBOOKS.md has a paragraph for every alert, and no other",
                 sorted(paragraphs) == sorted(names), sorted(set(paragraphs) ^ set(names)))
    thin = [name for name, text in paragraphs.items()
            if not all(f"**{part}**" in text for part in ("Means", "Look", "Do"))]
    report.check("every paragraph says what it means, where to look and what to do", not thin, thin)
    elsewhere = chart.objects({"prometheusRule": {"enabled": True, "runbook": "https://wiki.example.com/sluice"}})
    rule = next(o for o in elsewhere if o["kind"] == "PrometheusRule")
    url = rule["spec"]["groups"][0]["rules"][0]["annotations"]["runbook_url"]
    report.check("the runbooks may be kept elsewhere",
                 url == "https://wiki.example.com/sluice#sluiceoperatornotactive", url)
