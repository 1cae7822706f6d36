"""What an API server takes and fills in is what the models read: neither is stricter, and both say it alike."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from hearth.api import LLMService, parse_manifests
from hearth.api.base import Model
from hearth.api.fields import shape_of, wire_fields
from hearth.api.manifests import KINDS
from hearth.api.rules import RULES
from tests.api.admission import Verdict, admit
from tests.api.test_manifests import RUNTIME, RUNTIME_FAULTS, SERVICE, SERVICE_FAULTS, errors_of, with_field
from tests.api.test_wire import runtimes, services
from tests.support import manifests

ROOT = Path(__file__).parents[2]

GAPS = {
    ("spec.cache.size", "99Ei"): "Kubernetes takes an amount that is too large for the largest one",
}
"""Faults that only the models find."""


def read(manifest: dict[str, Any]) -> Model:
    return KINDS[manifest["kind"]].model_validate(manifest, by_alias=True, by_name=False)


service = partial(manifests.service, "qwen", model=SERVICE["spec"]["model"])
"""Builder of the object with other fields beside its model."""


def taken(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return the object as the server stores it."""
    verdict = admit(manifest)
    assert verdict.refusals == ()
    return verdict.stored


def solid(value: Any) -> Any:
    """Return a value without the empty lists and mappings in it, which say nothing."""
    if isinstance(value, dict):
        kept = {name: solid(part) for name, part in value.items()}
        return {name: part for name, part in kept.items() if part not in ({}, [], "")}
    return [solid(part) for part in value] if isinstance(value, list) else value


def amounts_aside(value: Any) -> Any:
    """Return a value whose amounts and spans are in canonical form."""
    if isinstance(value, dict):
        return {name: amounts_aside(part) for name, part in value.items()}
    if isinstance(value, list):
        return [amounts_aside(part) for part in value]
    return "" if isinstance(value, str) and value[:1].isdigit() else value


def documents() -> Iterator[Any]:
    """Every manifest of Hearth's kinds that this repository ships."""
    for folder in ("examples", "plugins"):
        for path in sorted((ROOT / folder).rglob("*.yaml")):
            for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
                if isinstance(document, dict) and document.get("kind") in KINDS:
                    yield pytest.param(document, id=f"{path.relative_to(ROOT)}:{document['metadata']['name']}")


@given(services | runtimes)
def test_the_server_takes_and_fills_in_what_the_models_do(manifest: dict[str, Any]) -> None:
    """Also where parents are absent: nobody who reads an object needs to know a default."""
    stored, item = taken(manifest), read(manifest)
    assert read(stored) == item
    assert amounts_aside(solid(stored["spec"])) == amounts_aside(solid(item.to_wire()["spec"]))


@given(services | runtimes)
def test_what_the_models_write_the_server_takes(manifest: dict[str, Any]) -> None:
    for defaults in (True, False):
        assert read(taken(read(manifest).to_wire(defaults=defaults))) == read(manifest)


@pytest.mark.parametrize("manifest", list(documents()))
def test_the_servers_take_every_manifest_of_this_repository(manifest: dict[str, Any]) -> None:
    assert read(taken(manifest)) == read(manifest)


FILLED = {
    "resources": {"accelerators": 1},
    "scaling": {
        "min": 0,
        "max": 1,
        "metric": "queueDepth",
        "target": 10,
        "activationTimeout": "5m0s",
        "scaleDownStabilization": "5m0s",
        "drainTimeout": "2m0s",
    },
    "cache": {"strategy": "NodeLocalPVC", "prewarm": False},
    "endpoint": {
        "openAICompatible": True,
        "coldStart": {"mode": "keepalive", "heartbeatInterval": "10s"},
        "gateway": "shared",
        "limits": {"maxHeld": 100, "maxHeldBytes": 67108864, "maxInFlight": 1024, "maxRequestBytes": 33554432},
    },
}


@pytest.mark.parametrize("parent", FILLED)
@pytest.mark.parametrize("said", ["absent", "null", "empty"])
def test_absent_parents_of_a_service(parent: str, said: str) -> None:
    """Whether a parent is left out, null or empty, its fields have the defaults of the contract.

    A CRD with defaults on leaves only would keep an absent `scaling` absent, and its reader would see no activation
    timeout, no drain and a target of 0.
    """
    given = {"absent": {}, "null": {parent: None}, "empty": {parent: {}}}[said]
    manifest = service(**given)
    assert taken(manifest)["spec"][parent] == FILLED[parent]
    assert read(manifest) == read(SERVICE)


@pytest.mark.parametrize("parent", ["runtime", "imagePullSecrets"])
def test_parents_without_anything_to_fill_stay_absent(parent: str) -> None:
    assert parent not in taken(SERVICE)["spec"]


def test_a_parent_with_one_field_gets_the_others() -> None:
    assert taken(service(scaling={"max": 3}))["spec"]["scaling"] == {**FILLED["scaling"], "max": 3}
    assert taken(service(endpoint={"coldStart": {"mode": "reject"}}))["spec"]["endpoint"] == {
        **FILLED["endpoint"],
        "coldStart": {"mode": "reject", "heartbeatInterval": "10s"},
    }


def test_absent_parents_of_a_runtime() -> None:
    assert taken(RUNTIME)["spec"] == {
        "family": "vllm",
        "vendor": "nvidia",
        "priority": 0,
        "adapter": "plugin",
        "container": {"image": "vllm/vllm-openai:v0.33.0", "port": {"name": "http", "containerPort": 8000}},
        "accelerator": {
            "resourceName": "nvidia.com/gpu",
            "sharing": {"supported": False, "maxAccelerators": 1},
            "dies": 1,
        },
        "lifecycle": {"preStopDrain": False},
        "pod": {"vendorMounts": True, "hostIPC": False},
    }
    metrics = taken({**RUNTIME, "spec": {**RUNTIME["spec"], "metrics": {"queueDepth": "q"}}})["spec"]["metrics"]
    assert metrics == {"path": "/metrics", "port": "http", "queueDepth": "q"}


def test_the_example_is_taken_as_it_is() -> None:
    example = yaml.safe_load((ROOT / "examples" / "qwen3-8b.yaml").read_text(encoding="utf-8"))
    spec = taken(example)["spec"]
    assert spec["scaling"] == {**FILLED["scaling"], "max": 3}
    assert spec["runtime"] == {"selector": {"vendor": ["nvidia", "ascend"]}}


def _is_ours(path: str) -> bool:
    """Tell faults of a CRD from those of metadata: the server checks all of it but the name itself."""
    return path == "metadata.name" or not path.startswith("metadata.")


FAULTS = [
    pytest.param(kind, *case, id=f"{name}-{case[0]}-{case[1]}")
    for name, kind, cases in (("service", SERVICE, SERVICE_FAULTS), ("runtime", RUNTIME, RUNTIME_FAULTS))
    for case in cases
    if _is_ours(case[0])
]


@pytest.mark.parametrize(("kind", "path", "text", "error"), FAULTS)
def test_what_the_models_refuse_the_server_refuses(kind: dict[str, Any], path: str, text: str, error: str) -> None:
    manifest = yaml.safe_load(with_field(kind, path, text))
    assert bool(admit(manifest).refusals) != ((path, text) in GAPS)


HTTP, TCP, EXEC, GRPC = "httpGet: {port: 1}", "tcpSocket: {port: 1}", "exec: {command: [x]}", "grpc: {port: 1}"
REQUIREMENTS = "spec.accelerator.nodeRequirements"
MORE_FAULTS = [
    ("spec.health.readiness", f"{{{TCP}, {HTTP}}}"),
    ("spec.health.liveness", f"{{{EXEC}, {HTTP}}}"),
    ("spec.health.startup", f"{{{EXEC}, {TCP}}}"),
    ("spec.health.startup", f"{{{GRPC}, {EXEC}}}"),
    (REQUIREMENTS, "[{key: a, operator: In}]"),
    (REQUIREMENTS, "[{key: a, operator: NotIn, values: []}]"),
    (REQUIREMENTS, "[{key: a, operator: Gt, values: [many]}]"),
    (REQUIREMENTS, "[{key: a, operator: Lt, values: ['1', '2']}]"),
    (REQUIREMENTS, "[{key: a, operator: Exists, values: [a]}]"),
    ("spec.pod.extraLimits", "{cpu: 1}"),
    ("spec.pod.sharedMemory.size", "-1Gi"),
    ("spec.accelerator.sharing.memory", "{resourceName: a/b, unit: 0}"),
    ("spec.accelerator.scheduler", "{queue: q}"),
    ("spec.accelerator.scheduler", "{queue: q, name: other}"),
    ("spec.container.env", "[{name: A, value: x, valueFrom: {fieldRef: {fieldPath: a}}}]"),
]


@pytest.mark.parametrize(("path", "text"), MORE_FAULTS)
def test_rules_of_a_runtime_use_the_words_of_the_models(path: str, text: str) -> None:
    manifest = with_field(RUNTIME, path, text)
    assert by_rules(admit(yaml.safe_load(manifest))) == errors_of(manifest)


def test_every_rule_is_tried() -> None:
    cases = [(SERVICE, *case[:2]) for case in SERVICE_FAULTS]
    cases += [(RUNTIME, *case[:2]) for case in (*RUNTIME_FAULTS, *MORE_FAULTS)]
    cases += [(SERVICE, "spec.resources.fraction.memory", "0"), (SERVICE, "spec.model.source.uri", "pvc://claim/..")]
    tried = {
        refusal.expression
        for kind, path, text in cases
        for refusal in admit(yaml.safe_load(with_field(kind, path, text))).refusals
    }
    rules = {rule.expression for fields in RULES.values() for each in fields.values() for rule in each}
    assert rules <= tried


def by_rules(verdict: Verdict) -> list[str]:
    return [f"{refusal.path}: {refusal.message}" for refusal in verdict.refusals if refusal.by == "rule"]


def spelled_alike(text: str) -> str:
    """Return an error without the name that it suggests, and with amounts as the manifest spelled them."""
    text = re.sub(r", such as '[^']*'", "", text)
    return text.replace("2h0m0s is", "2h is").replace("1.5s is not a whole", "1500ms is not a whole")


@pytest.mark.parametrize(("kind", "path", "text", "error"), FAULTS)
def test_rules_use_the_words_of_the_models(kind: dict[str, Any], path: str, text: str, error: str) -> None:
    manifest = yaml.safe_load(with_field(kind, path, text))
    messages = by_rules(admit(manifest))
    if messages and "out of range" not in messages[0]:
        assert messages == [spelled_alike(error)]


WINDOW, PORT = "spec.scaling.scaleDownStabilization", "spec.health.readiness.tcpSocket.port"
EDGES = [
    *(
        (SERVICE, WINDOW, text)
        for text in ("0", "0s", "1h", "3600s", "60000ms", "1.5m", "-0s", "1h1ns", "3600.5s", "-1ns")
    ),
    *((SERVICE, "spec.endpoint.coldStart.heartbeatInterval", text) for text in ("1ns", "0.5µs", "0", "-1s", "1", "''")),
    *((SERVICE, "spec.resources.cpu", text) for text in ("1n", "2", "'1e3'", "'0.5'", "'1e1.5'", "'-0'", "1K")),
    *((SERVICE, "spec.scaling", text) for text in ("{min: 1}", "{min: 2}", "{min: 5, max: 5}", "{max: 2147483648}")),
    *((SERVICE, "metadata.name", "a" * length) for length in (1, 55, 56)),
    *((SERVICE, "spec.model.source.uri", "hf://" + "a" * length) for length in (2043, 2044)),
    *((RUNTIME, PORT, text) for text in ("1", "65535", "65536", "0", "http", "1-2", "a-1", "a--1", "-a", "a" * 16)),
    *(
        (RUNTIME, "spec.accelerator.resourceName", text)
        for text in ("a.b/c", "cpu", "hugepages-2Mi", "gpu", "a/", "/a")
    ),
    *(
        (RUNTIME, "spec.pod.hostMounts", f"[{{hostPath: {text}}}]")
        for text in ("/", "/a/..b", "/a/.", "//a", "/a/..", "a")
    ),
    *((RUNTIME, "spec.accelerator.nodeRequirements", f"[{'{key: a, operator: Exists}, ' * n}]") for n in (64, 65)),
]


@pytest.mark.parametrize(("kind", "path", "text"), EDGES)
def test_both_draw_the_line_in_the_same_place(kind: dict[str, Any], path: str, text: str) -> None:
    manifest = yaml.safe_load(with_field(kind, path, text))
    try:
        read(manifest)
    except ValidationError:
        assert admit(manifest).refusals
    else:
        assert read(taken(manifest)) == read(manifest)


def checks() -> Iterator[tuple[type[BaseModel], str]]:
    """Every field of the kinds that has a check in Python of its own, by its name on the wire."""
    pending: list[type[BaseModel]] = [shape_of(wire_fields(kind)["spec"]).model or kind for kind in KINDS.values()]
    seen = set()
    while pending:
        model = pending.pop()
        if model in seen:
            continue
        seen.add(model)
        pending += filter(None, (shape_of(field).model for field in wire_fields(model).values()))
        names = {attribute: field.alias or attribute for attribute, field in model.model_fields.items()}
        for decorator in model.__pydantic_decorators__.field_validators.values():
            for attribute in decorator.info.fields:
                yield model, names[attribute]


def test_every_check_in_python_has_a_rule() -> None:
    missing = []
    for model, name in checks():
        rules = RULES.get(model, {})
        beside = any(rule.field in (name, "min" if name == "max" else name) for rule in rules.get("", ()))
        if name not in rules and not beside:
            missing.append(f"{model.__name__}.{name}")
    assert not missing, "add rules for them to hearth/api/rules.py"


def test_every_rule_belongs_to_a_model_that_is_used() -> None:
    used = {model for model, _ in checks()}
    without_checks = {model.__name__ for model in RULES if model not in used}
    # Names and URIs are checked by their types, and where the volume ends is for planning to say.
    assert without_checks == {"LLMService", "ModelSource", "Pod"}


@given(parts=st.lists(st.sampled_from(["..", ".", "a", "b", "", "...", ".x", "..x"]), max_size=7))
def test_claims_are_left_where_planning_says(parts: list[str]) -> None:
    inside = "/".join(parts)
    normal = posixpath.normpath(inside) if inside else ""
    leads_out = normal == ".." or normal.startswith(("../", "/"))
    messages = by_rules(admit(service(model={"source": {"uri": f"pvc://claim/{inside}"}})))
    message = (
        f"spec.model.source.uri: 'pvc://claim/{inside}' leads out of the volume; "
        "write a directory inside the claim, without '..'"
    )
    assert messages == ([message] if leads_out else [])


def test_a_status_of_the_models_is_taken() -> None:
    condition = {
        "type": "Ready",
        "status": "True",
        "reason": "BackendReady",
        "message": "1 of 1 replicas are ready.",
        "observedGeneration": 2,
        "lastTransitionTime": "2026-11-23T10:00:00Z",
    }
    status = {
        "phase": "Ready",
        "resolvedRuntime": "vllm-nvidia",
        "replicas": 1,
        "endpointURL": "http://qwen.ai.svc/v1",
        "conditions": [condition],
    }
    item = LLMService.model_validate({**SERVICE, "status": status})
    assert taken(item.to_wire())["status"] == status


def test_errors_of_both_name_the_same_field() -> None:
    text = with_field(SERVICE, "spec.scaling", "{min: 3, max: 2}")
    assert by_rules(admit(yaml.safe_load(text))) == errors_of(text)
    assert parse_manifests(with_field(SERVICE, "spec.scaling", "{min: 2, max: 2}"))
