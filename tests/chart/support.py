"""Parts of the chart as tests read them, and Helm."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import promql_parser as promql
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "hearth"
KUBE_VERSION = "1.34.0"
"""What charts are rendered for when no cluster is asked."""
REGISTRY = "registry.example.com/hearth"
"""The registry of the README and of rendered charts."""

_VARIABLES = {"$__rate_interval": "5m", "$__range": "1h"}


@cache
def values() -> Mapping[str, Any]:
    """Return the chart's defaults."""
    return yaml.safe_load((CHART / "values.yaml").read_text())  # type: ignore[no-any-return]


@cache
def schema() -> Mapping[str, Any]:
    return json.loads((CHART / "values.schema.json").read_text())  # type: ignore[no-any-return]


@cache
def alerts() -> Mapping[str, Mapping[str, Any]]:
    """Return the alerting rules by name."""
    groups = yaml.safe_load((CHART / "rules" / "hearth.yaml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    return {rule["alert"]: rule for rule in rules}


@cache
def panels() -> Mapping[str, Mapping[str, Any]]:
    """Return the dashboard's panels by title, without its rows."""
    found = [panel for panel in dashboard()["panels"] if panel["type"] != "row"]
    assert len({panel["title"] for panel in found}) == len(found)
    return {panel["title"]: panel for panel in found}


@cache
def dashboard() -> Mapping[str, Any]:
    return json.loads((CHART / "dashboards" / "hearth.json").read_text())  # type: ignore[no-any-return]


def queries() -> Iterator[tuple[str, str]]:
    """Every PromQL expression of the chart, as Prometheus would get it, and where it is from."""
    for name, rule in alerts().items():
        yield name, rule["expr"]
    for title, panel in panels().items():
        for target in panel["targets"]:
            expression = target["expr"]
            for variable, value in _VARIABLES.items():
                expression = expression.replace(variable, value)
            yield f"panel {title!r}", expression


def selectors(expression: str) -> list[promql.VectorSelector]:
    """Return the selectors of an expression. Raises ValueError when it cannot be parsed."""
    found: list[promql.VectorSelector] = []

    def visit(node: promql.Expr) -> bool:
        if isinstance(node, promql.VectorSelector):
            found.append(node)
        if isinstance(node, promql.MatrixSelector):
            found.append(node.vector_selector)
        return True

    promql.walk(promql.parse(expression), visit)
    return found


def grouped_labels(expression: str) -> set[str]:
    """Return the labels that `by` and `on` name anywhere in an expression."""
    found = set()
    for names in re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", expression):
        found |= {name.strip() for name in names.split(",") if name.strip()}
    return found


@cache
def helm_program() -> str:
    """Return the path of Helm: HELM, the one on PATH, or the one that the development cluster builds. Raises AssertionError."""
    found = os.environ.get("HELM") or shutil.which("helm")
    if found:
        return found
    asked = subprocess.run(
        [sys.executable, "-m", "tools.devcluster", "path", "helm"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.returncode == 0, f"no helm: set HELM, or run `make cluster-up` once, which builds it\n{asked.stderr}"
    return asked.stdout.strip()


def helm(*argv: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Helm. Raises AssertionError, with what it printed, when it fails and `check` is set."""
    done = subprocess.run(
        [helm_program(), *argv],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not check or done.returncode == 0, f"helm {' '.join(argv)}\n{done.stderr}"
    return done


def render(*argv: str) -> str:
    """Return the chart's objects, as YAML."""
    return template(f"--set=image.registry={REGISTRY}", *argv).stdout


def render_with(changes: Mapping[str, Any], *, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Render with values by dotted key."""
    given = {"image.registry": REGISTRY, **changes}
    return template(*(f"--set-json={key}={json.dumps(value)}" for key, value in given.items()), check=check)


def template(*argv: str, chart: Path = CHART, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run `helm template`."""
    fixed = ("template", "hearth", str(chart), "--namespace=hearth-system", f"--kube-version={KUBE_VERSION}")
    return helm(*fixed, *argv, check=check)


def objects(text: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Return rendered objects by kind and name (and namespace, where another than the release's)."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for item in yaml.safe_load_all(text):
        if item is None:
            continue
        namespace = item["metadata"].get("namespace", "hearth-system")
        name = item["metadata"]["name"]
        key = item["kind"], name if namespace == "hearth-system" else f"{namespace}/{name}"
        assert key not in found, key
        found[key] = item
    return found
