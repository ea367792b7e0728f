"""The definitions of the Prometheus operator's kinds that the chart makes, from its Go module."""

import json
import os
import shutil

import yaml

from .chart import run

MODULE = "github.com/prometheus-operator/prometheus-operator@v0.82.2"
KINDS = {"ServiceMonitor": "servicemonitors", "PodMonitor": "podmonitors", "PrometheusRule": "prometheusrules"}


def definitions():
    """kind -> definition, and an empty string; or nothing, and why."""
    if not shutil.which("go"):
        return {}, "go is not installed"
    done = run(["go", "mod", "download", "-json", MODULE])
    if done.returncode != 0:
        return {}, f"{MODULE} cannot be fetched"
    folder = json.loads(done.stdout)["Dir"]
    found = {}
    for kind, plural in KINDS.items():
        path = os.path.join(folder, "example", "prometheus-operator-crd", f"monitoring.coreos.com_{plural}.yaml")
        with open(path, encoding="utf-8") as f:
            found[kind] = yaml.safe_load(f)
    return found, ""
