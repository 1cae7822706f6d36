"""What is rendered, byte for byte, and that it is the same whatever the order of hashes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from hearth.api import parse_manifests
from hearth.planning import PlanOptions, Scaler, as_document, make_plan, plan_namespace
from tests.planning.manifests import CASES, NAMESPACE, RUNTIME, SERVICES
from tests.support.vendors import host


@pytest.mark.parametrize(("name", "target"), CASES)
def test_golden(name: str, target: str, golden: Callable[[str, str], None]) -> None:
    golden(f"{name}.{target}.yaml", render(name, target))


def render(name: str, target: str) -> str:
    manifests = parse_manifests(f"{RUNTIME}\n---\n{SERVICES[name]}")
    [made] = [
        make_plan(service, runtimes=manifests.runtimes, host=host("acme", "zeta"), target=target)  # type: ignore[arg-type]
        for service in manifests.services
    ]
    documents = [as_document(made), *made.objects]
    return yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True, width=120)


@pytest.mark.parametrize("scaler", ["push", "metrics-api"])
def test_golden_namespace(scaler: Scaler, golden: Callable[[str, str], None]) -> None:
    golden(f"namespace.{scaler}.yaml", render_namespace(scaler))


def render_namespace(scaler: Scaler) -> str:
    manifests = parse_manifests(NAMESPACE)
    options = PlanOptions(scaler=scaler, gateway_replicas=2)
    plans = [
        make_plan(service, runtimes=manifests.runtimes, host=host("acme"), target="cluster", options=options)
        for service in manifests.services
    ]
    shared = plan_namespace("ai", plans, options)
    objects = [*shared.objects, *(item for made in plans for item in made.objects)]
    return yaml.safe_dump_all(objects, sort_keys=False, allow_unicode=True, width=120)


DIGEST = """
import json, sys
sys.path.insert(0, sys.argv[1])
from tests.planning.test_golden import render, render_namespace
from tests.planning.manifests import CASES
print(json.dumps([*(render(*case) for case in CASES), render_namespace('push')]))
"""


def test_plans_do_not_depend_on_the_order_of_hashes() -> None:
    root = str(Path(__file__).parents[2])
    outputs = {
        subprocess.run(
            [sys.executable, "-c", DIGEST, root],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            cwd=root,
        ).stdout
        for seed in ("0", "1", "4711")
    }
    [output] = outputs
    assert len(json.loads(output)) == len(CASES) + 1
