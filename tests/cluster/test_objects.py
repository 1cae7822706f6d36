"""The API server takes every object that planning renders, and keeps it as it was rendered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings

from hearth.api import parse_manifests, parse_quantity
from hearth.planning import KINDS, PlanOptions, make_plan, plan_namespace
from tests.cluster import manifests
from tests.cluster.kube import ApiError, Object
from tests.cluster.server import WORKER, Server
from tests.planning.manifests import CASES
from tests.planning.test_golden import render, render_namespace
from tests.planning.test_objects import ANY_NAMESPACE, applied, plans_of
from tests.planning.validity import of
from tests.planning.vendors.test_pods import FRACTIONS, RUNTIMES, plan
from tests.support.vendors import host

NAMESPACE = f"e2e-objects-{WORKER}"


@pytest.fixture(scope="module")
def server(kubeconfig: Path) -> Iterator[Server]:
    with Server.open(kubeconfig, NAMESPACE) as opened:
        yield opened


def placed(item: Mapping[str, Any]) -> Object:
    """Return the object in the namespace of these tests."""
    placed: Object = {**item, "metadata": {**item["metadata"], "namespace": NAMESPACE}}
    if item["kind"] == "RoleBinding":
        placed["subjects"] = [{**subject, "namespace": NAMESPACE} for subject in item["subjects"]]
    return placed


def taken(server: Server, objects: Sequence[Mapping[str, Any]]) -> None:
    for item in objects:
        wanted = placed(item)
        kept(wanted, server.apply(wanted), f"{item['kind']} {item['metadata']['name']}")


def kept(wanted: Any, found: Any, where: str) -> None:
    """Everything wanted is found. What the server writes in another way would look like a change for ever."""
    if isinstance(wanted, Mapping):
        for key, value in wanted.items():
            assert isinstance(found, Mapping), where
            assert key in found, f"{where}.{key} was dropped"
            kept(value, found[key], f"{where}.{key}")
    elif isinstance(wanted, list | tuple):
        assert len(wanted) == len(found), where
        for number, (one, other) in enumerate(zip(wanted, found, strict=True)):
            kept(one, other, f"{where}[{number}]")
    elif wanted != found:
        assert ".resources." in where or where.endswith("sizeLimit"), f"{where}: {wanted!r} became {found!r}"
        assert parse_quantity(wanted).value == parse_quantity(found).value, where


def documents(text: str) -> list[Object]:
    return [each for each in yaml.safe_load_all(text) if "kind" in each]


@pytest.mark.parametrize("name", [name for name, target in CASES if target == "cluster"])
def test_golden_objects(server: Server, name: str) -> None:
    taken(server, documents(render(name, "cluster")))


@pytest.mark.parametrize("scaler", ["push", "metrics-api"])
def test_golden_namespace(server: Server, scaler: Any) -> None:
    objects = documents(render_namespace(scaler))
    assert {item["kind"] for item in objects} == set(KINDS)
    taken(server, objects)


PODS = [(name, {"accelerators": 2}) for name in sorted(RUNTIMES)] + sorted(FRACTIONS.items())


@pytest.mark.parametrize(("name", "resources"), PODS)
def test_the_pods_of_every_vendor(server: Server, name: str, resources: dict[str, Any]) -> None:
    taken(server, plan(RUNTIMES[name], resources).objects)


@settings(max_examples=30)
@given(**ANY_NAMESPACE)
def test_any_services_of_a_namespace(
    server: Server, wanted: dict[str, Any], acme: Any, path: str | None, options: PlanOptions
) -> None:
    plans = plans_of(wanted, acme, path, options)
    taken(server, applied(plans, plan_namespace("ai", plans, options)))


def test_pods_meet_the_restricted_level(server: Server) -> None:
    """The gateway's, the download's, and an engine's whose runtime asks for no more. The namespace enforces the level."""
    runtime = manifests.runtime("restricted", pod={"securityContext": {"runAsNonRoot": True, "runAsUser": 65532}})
    service = manifests.service(
        "tiny", NAMESPACE, "restricted", cache={"strategy": "NodeLocalPVC", "prewarm": True}, uri="hf://acme/tiny"
    )
    parsed = parse_manifests(yaml.safe_dump_all([runtime, service]))
    [wanted] = parsed.services
    made = make_plan(wanted, runtimes=parsed.runtimes, host=host("fake"), target="cluster")
    objects = [*plan_namespace(NAMESPACE, [made]).objects, *made.objects]
    for account in of(objects, "ServiceAccount"):
        # A pod of an account that is not there is refused. Without labels: the operator takes away what no service needs.
        bare = {**account, "metadata": {"name": account["metadata"]["name"], "namespace": NAMESPACE}}
        server.run(server.kube.apply(bare))
    workloads = of(objects, "Deployment", "Job")
    assert sorted(item["metadata"]["name"] for item in workloads) == ["hearth-gateway", "tiny", "tiny-prewarm"]
    server.warnings()
    for item in workloads:
        server.apply(placed(item))
        pod = {"apiVersion": "v1", "kind": "Pod", **item["spec"]["template"]}
        pod["metadata"] = {**pod["metadata"], "name": item["metadata"]["name"], "namespace": NAMESPACE}
        assert server.refusals(pod) == []
    assert server.warnings() == []


def test_the_namespace_would_say_so(server: Server) -> None:
    """That the test before can fail: a pod with no security context is refused, and its Deployment warned of."""
    pod = {"containers": [{"name": "a", "image": "a"}]}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod}
    metadata = {"name": "bare", "namespace": NAMESPACE}
    with pytest.raises(ApiError, match='violates PodSecurity "restricted'):
        server.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod})
    server.warnings()
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    server.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec})
    assert any("would violate PodSecurity" in said for said in server.warnings())
