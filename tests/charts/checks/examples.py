"""Every manifest that a user may copy: samples, the README's blocks, the chart's annotations.

Each is sent to the API server with strict validation, as a dry run: a field that does not exist, or
a value that is refused, fails the test and not the user.
"""

import os
import re

import yaml

from .apiserver import ApiError
from .crds import GROUP, NAMESPACE


def manifests(root):
    """(where it is written, object) for every example."""
    samples = f"{root}/deploy/samples"
    for name in sorted(os.listdir(samples)) if os.path.isdir(samples) else []:
        if name.endswith(".yaml"):
            with open(f"{samples}/{name}", encoding="utf-8") as f:
                yield from documents(f"deploy/samples/{name}", f.read())
    for name in ("README.md", "charts/sluice/README.md"):
        if os.path.exists(f"{root}/{name}"):
            with open(f"{root}/{name}", encoding="utf-8") as f:
                for block in re.findall(r"```yaml\n(.*?)```", f.read(), re.DOTALL):
                    yield from documents(name, block)
    with open(f"{root}/charts/sluice/Chart.yaml", encoding="utf-8") as f:
        annotations = yaml.safe_load(f)["annotations"]
    for obj in yaml.safe_load(annotations["artifacthub.io/crdsExamples"]):
        yield "charts/sluice/Chart.yaml", obj


def documents(where, text):
    for obj in yaml.safe_load_all(text):
        if isinstance(obj, dict):
            yield where, obj


def check(server, crds, root, report):
    for where, obj in manifests(root):
        if obj.get("kind") == "HorizontalPodAutoscaler":
            path = f"/apis/{obj['apiVersion']}/namespaces/{NAMESPACE}/horizontalpodautoscalers"
        elif str(obj.get("apiVersion", "")).startswith("sluice.dev/"):
            path = f"{GROUP}/namespaces/{NAMESPACE}/{crds[obj['kind']]['spec']['names']['plural']}"
        else:
            continue
        obj["metadata"].pop("namespace", None)
        wrong = ""
        try:
            server.request("POST", f"{path}?dryRun=All&fieldValidation=Strict", obj)
        except ApiError as error:
            wrong = error
        report.check(f"{where}: {obj['kind']} {obj['metadata']['name']} is taken", not wrong, wrong)
