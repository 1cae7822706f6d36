"""The API server takes, fills in and refuses what the models do, in the same words.

The same cases as in tests/api, where a program plays the server's part; here that program is held against the server.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from pydantic import ValidationError

from hearth.api.crd import crds
from tests.api.admission import admit
from tests.api.test_admission import EDGES, FAULTS, FILLED, MORE_FAULTS, by_rules, documents, read, solid, spelled_alike
from tests.api.test_manifests import RUNTIME, SERVICE, with_field
from tests.api.test_wire import runtimes, services
from tests.cluster.kube import ApiError
from tests.cluster.server import WORKER, Refusal, Server

NAMESPACE = f"e2e-crds-{WORKER}"


@pytest.fixture(scope="module")
def server(kubeconfig: Path) -> Iterator[Server]:
    with Server.open(kubeconfig, NAMESPACE) as opened:
        opened.define([copy.deepcopy(dict(crd)) for crd in crds()])
        yield opened


def placed(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return the manifest in the namespace of these tests."""
    if manifest["kind"] != "LLMService" or not isinstance(manifest.get("metadata"), dict):
        return manifest
    return {**manifest, "metadata": {**manifest["metadata"], "namespace": NAMESPACE}}


def stored(server: Server, manifest: dict[str, Any]) -> Any:
    return server.create(placed(manifest))["spec"]


@settings(max_examples=100)
@given(manifest=services | runtimes)
def test_what_the_models_take_is_taken_and_filled_in(server: Server, manifest: dict[str, Any]) -> None:
    found = stored(server, manifest)
    assert solid(found) == solid(admit(manifest).stored["spec"])
    assert read({**manifest, "spec": found}) == read(manifest)


@pytest.mark.parametrize("manifest", list(documents()))
def test_every_manifest_of_this_repository_is_taken(server: Server, manifest: dict[str, Any]) -> None:
    assert read({**manifest, "spec": stored(server, manifest)}) == read(manifest)


@pytest.mark.parametrize("parent", FILLED)
@pytest.mark.parametrize("said", ["absent", "null", "empty"])
def test_defaults_of_absent_parents(server: Server, parent: str, said: str) -> None:
    given = {"absent": {}, "null": {parent: None}, "empty": {parent: {}}}[said]
    manifest = {**SERVICE, "spec": {**SERVICE["spec"], **given}}
    assert stored(server, manifest)[parent] == FILLED[parent]


@pytest.mark.parametrize(("kind", "path", "text", "error"), FAULTS)
def test_what_the_models_refuse_is_refused(
    server: Server, kind: dict[str, Any], path: str, text: str, error: str
) -> None:
    """By a rule: in the very words of `hearth explain`. By the schema: in Kubernetes' words."""
    manifest = yaml.safe_load(with_field(kind, path, text))
    refused = agree(server, manifest)
    if by_rules(admit(manifest)) and "out of range" not in refused[0].message:
        assert spelled_alike(error) in [f"{each.path}: {each.message}" for each in refused]


@pytest.mark.parametrize(("path", "text"), MORE_FAULTS)
def test_rules_of_a_runtime(server: Server, path: str, text: str) -> None:
    agree(server, yaml.safe_load(with_field(RUNTIME, path, text)))


@pytest.mark.parametrize(("kind", "path", "text"), EDGES)
def test_where_the_line_is(server: Server, kind: dict[str, Any], path: str, text: str) -> None:
    manifest = yaml.safe_load(with_field(kind, path, text))
    refused = agree(server, manifest)
    try:
        read(manifest)
    except ValidationError:
        assert refused
    else:
        assert not refused


def agree(server: Server, manifest: dict[str, Any]) -> list[Refusal]:
    """Check that the server refuses what the model of it refuses, at the same fields; by rules, in the same words."""
    played, refused = admit(placed(manifest)).refusals, server.refusals(placed(manifest))
    assert bool(played) == bool(refused), (played, refused)
    rules = [(each.path, each.message) for each in played if each.by == "rule"]
    assert [(each.path, each.message) for each in refused if (each.path, each.message) in rules] == rules, refused
    if rules and len(rules) == len(played):
        # A name that no object could have is refused a second time, in Kubernetes' own words.
        assert len(rules) == len([each for each in refused if not each.message.startswith("a lowercase RFC 1123")])
    return refused


def test_a_refusal_in_full(server: Server) -> None:
    """What `kubectl apply` prints is the sentence of `hearth explain`."""
    manifest = yaml.safe_load(with_field(SERVICE, "spec.scaling", "{min: 3, max: 2}"))
    with pytest.raises(ApiError) as caught:
        server.create(placed(manifest))
    assert caught.value.status == 422
    assert "min: " in caught.value.message
    assert "3 is larger than spec.scaling.max: 2; lower min or raise max" in caught.value.message


def test_the_columns_of_kubectl_get(server: Server) -> None:
    table = server.run(server.kube.table("LLMService", NAMESPACE))
    assert [column["name"] for column in table["columnDefinitions"]][1:] == ["Phase", "Runtime", "Replicas", "Age"]
