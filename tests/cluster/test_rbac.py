"""Least privilege, from the API server's audit log: what was granted was used, and nothing was refused.

Reads what the whole run left behind, so it runs after everything else: `-m afterwards`. E2E_AUDITED names its clusters,
each with the times between which it counts: `hearth=2026-01-01T00:00:00/ hearth-2=.../...`.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.kube import Kube
from tests.cluster.node import other_cluster, state_directory

pytestmark = pytest.mark.runs(how="last")

Right = tuple[str, str, str]
"""API group, resource with its subresource, verb."""

OPERATOR = "system:serviceaccount:hearth-system:hearth-operator"

ALLOWED: Mapping[Right, str] = {}
"""Rights of the operator that no scenario uses, and why it has them all the same."""


class Use:
    """What service accounts did, by the audit log."""

    def __init__(self) -> None:
        self.used: dict[str, Counter[Right]] = {}
        self.refused: dict[str, Counter[Right]] = {}

    def add(self, event: Mapping[str, Any]) -> None:
        target = event.get("objectRef")
        if target is None or "resource" not in target:
            return  # discovery, which needs no right
        user = event["user"]["username"]
        resource = "/".join(filter(None, [target["resource"], target.get("subresource")]))
        right = target.get("apiGroup", ""), resource, event["verb"]
        if event.get("annotations", {}).get("authorization.k8s.io/decision") == "forbid":
            self.refused.setdefault(user, Counter())[right] += 1
            return
        used = self.used.setdefault(user, Counter())
        used[right] += 1
        # Server-side apply of what is not there asks for `create` too, and is logged as a patch only.
        if event["verb"] == "patch" and event.get("responseStatus", {}).get("code") == 201:
            used[right[0], right[1], "create"] += 1


def events(directory: Path, since: str, until: str) -> Iterator[Mapping[str, Any]]:
    """Read the audit log, rotated files first."""
    for path in sorted(directory.glob("audit*.log"), key=lambda path: (path.name == "audit.log", path.name)):
        with path.open() as lines:
            for line in lines:
                event = json.loads(line)
                if not since <= event["stageTimestamp"] < (until or "9"):
                    continue
                if event["user"]["username"].startswith("system:serviceaccount:"):
                    yield event


def rights(rules: Iterable[Mapping[str, Any]]) -> set[Right]:
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def listed(found: Iterable[Right]) -> str:
    return "\n".join(f"  {verb:8} {resource}{'.' + group if group else ''}" for group, resource, verb in sorted(found))


@pytest.fixture(scope="module")
def use(cluster_name: str) -> Use:
    if elsewhere := other_cluster():
        pytest.skip(f"needs the API server's audit log, which {elsewhere} keeps elsewhere: run it on a devcluster")
    found = Use()
    for word in os.environ.get("E2E_AUDITED", cluster_name).split():
        name, _, times = word.partition("=")
        since, _, until = times.partition("/")
        for event in events(state_directory(name), since, until):
            found.add(event)
    assert OPERATOR in found.used, f"no audit log mentions {OPERATOR}: this needs a run on a devcluster"
    return found


def gateways(by_user: Mapping[str, Counter[Right]]) -> Counter[Right]:
    """Return what all gateways did together; a dedicated one is called NAME-gateway."""
    together: Counter[Right] = Counter()
    for user, counted in by_user.items():
        if user.endswith("-gateway") and user.count(":") == 3:
            together += counted
    return together


def gateway_rights() -> set[Right]:
    """Return what planning grants to a gateway."""
    from hearth.api import parse_manifests
    from hearth.planning import PlanOptions, make_plan, plan_namespace
    from hearth.plugins import VendorHost

    host = VendorHost.load()
    manifest = (Path(__file__).parents[2] / "examples/qwen3-8b.yaml").read_text()
    [service] = parse_manifests(manifest).services
    runtimes = [packaged.manifest for packaged in host.runtimes()]
    plan = make_plan(service, runtimes=runtimes, host=host, target="cluster")
    roles = [item for item in plan_namespace("ai", [plan], PlanOptions()).objects if item["kind"] == "Role"]
    return rights(rule for role in roles for rule in role["rules"])


async def operator_rights(kube: Kube) -> set[Right]:
    """Return what the chart granted to the operator, as it is in the cluster."""
    roles = [await kube.get("ClusterRole", "hearth-operator")]
    if (lease := await kube.find("Role", "hearth-operator", "hearth-system")) is not None:
        roles.append(lease)
    return rights(rule for role in roles for rule in role["rules"])


async def test_the_operator_uses_every_right_that_it_has(kube: Kube, use: Use) -> None:
    granted = await operator_rights(kube)
    # Nobody may give what he does not hold; whether gateways use it is the next test's.
    passed_on = gateway_rights()
    assert passed_on <= granted
    unused = granted - set(use.used[OPERATOR]) - passed_on
    stale = set(ALLOWED) & (set(use.used[OPERATOR]) | (set(ALLOWED) - granted))
    assert not unused - set(ALLOWED), (
        "the operator never used these; take them out of charts/hearth/templates/rbac.yaml, or add a scenario:\n"
        + listed(unused - set(ALLOWED))
    )
    assert not stale, f"these need no exception any more:\n{listed(stale)}"


def test_gateways_use_every_right_that_they_have(use: Use) -> None:
    unused = gateway_rights() - set(gateways(use.used))
    assert not unused, f"no gateway ever used these; take them out of planning/gateway/access.py:\n{listed(unused)}"


def test_nothing_was_refused(use: Use) -> None:
    operator = use.refused.get(OPERATOR, Counter())
    assert not operator, f"the operator asked for what it may not do:\n{listed(operator)}"
    others = gateways(use.refused)
    # A gateway outlives its Role by a moment when its namespace is deleted, and has access to nothing then.
    assert set(others) <= gateway_rights(), f"gateways asked for what they may never do:\n{listed(set(others))}"


def test_gateways_do_nothing_beyond_their_role(use: Use) -> None:
    beyond = set(gateways(use.used)) - gateway_rights()
    assert not beyond, listed(beyond)
