from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Literal

import jsonschema
import pytest
import yaml
from pydantic import Field

from hearth.api.base import Model
from hearth.api.crd import crd_files, crds, structural
from hearth.api.metadata import ApiObject, ObjectMeta
from tests.api.admission import fill, judge, schemas

CHART = Path(__file__).parents[2] / "charts" / "hearth" / "crds"
Schema = dict[str, Any]


def nodes(schema: Schema, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Schema]]:
    """Every schema inside a schema. `[]` stands for items and `*` for the values of a mapping."""
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from nodes(part, (*path, name))
    if "items" in schema:
        yield from nodes(schema["items"], (*path, "[]"))
    if "additionalProperties" in schema:
        yield from nodes(schema["additionalProperties"], (*path, "*"))


@cache
def crd(kind: str) -> dict[str, Any]:
    (found,) = (each for each in crds() if each["spec"]["names"]["kind"] == kind)
    return found


def version(kind: str) -> dict[str, Any]:
    (only,) = crd(kind)["spec"]["versions"]
    return only  # type: ignore[no-any-return]


def at(kind: str, path: str) -> Schema:
    return dict(nodes(schemas()[kind]))[tuple(path.split("."))]


def test_the_files_of_the_chart_are_those_of_the_models() -> None:
    written = {path.name: path.read_text(encoding="utf-8") for path in CHART.iterdir()}
    assert written == crd_files(), "run: make crds"


def test_the_files_read_back_as_the_definitions() -> None:
    assert [yaml.safe_load(text) for text in crd_files().values()] == list(crds())
    assert not any(marker in text for text in crd_files().values() for marker in ("&id", "*id", "!!"))


@pytest.mark.parametrize("kind", schemas())
def test_every_schema_is_structural(kind: str) -> None:
    """The rules of structural schemas, and what Kubernetes refuses beside them."""
    for path, node in nodes(schemas()[kind]):
        free = node.get("x-kubernetes-int-or-string")
        assert ("type" in node) != bool(free), path
        assert node.get("type") in (None, "object", "array", "string", "integer", "boolean"), path
        forbidden = {"$ref", "title", "nullable", "const", "oneOf", "allOf", "not", "uniqueItems", "patternProperties"}
        assert not forbidden & node.keys(), path
        assert node.get("anyOf") == ([{"type": "integer"}, {"type": "string"}] if free else None), path
        assert not {"properties", "additionalProperties"} <= node.keys(), path
        assert isinstance(node.get("additionalProperties", {}), dict), path
        assert not [key for key in node if key.startswith("x-") and not key.startswith("x-kubernetes-")], path
        if node.get("type") == "array":
            assert node["x-kubernetes-list-type"] in ("atomic", "map"), path
            for key in node.get("x-kubernetes-list-map-keys", ()):
                assert key in node["items"]["required"], "keys of a list map are required"
                assert "default" not in node["items"]["properties"][key], path
        if node.get("type") == "integer":
            assert node["format"] in ("int32", "int64"), path
        for name in node.get("required", ()):
            assert "default" not in node["properties"][name], "what is required is not filled in"


@pytest.mark.parametrize("kind", schemas())
def test_every_default_is_valid_where_it_stands(kind: str) -> None:
    for path, node in nodes(schemas()[kind]):
        if "default" in node:
            assert node["default"] is not None, path
            value = copy.deepcopy(node["default"])
            # A server tries a default as it stands, before the defaults inside of it are filled in.
            assert list(judge(node, value)) == [], path
            fill(node, value)
            jsonschema.Draft202012Validator(node).validate(value)


@pytest.mark.parametrize("kind", schemas())
def test_every_field_is_described(kind: str) -> None:
    for path, node in nodes(schemas()[kind]):
        if path and path != ("metadata",) and path[-1] not in ("[]", "*"):
            assert node["description"].endswith("."), path
            assert "\n" not in node["description"], path


@pytest.mark.parametrize("kind", schemas())
def test_rules_look_at_bounded_values_only(kind: str) -> None:
    """A server estimates what a rule may cost for the largest value possible, and refuses a CRD that may cost too much.

    It takes texts without a bound, and numbers that became texts, for as large as a request. The rules of a server
    itself are tried with a cluster; this keeps to what those tries taught.
    """
    tree = dict(nodes(schemas()[kind]))
    for path, node in tree.items():
        for rule in node.get("x-kubernetes-validations", ()):
            costly = [name for name in (".matches(", "duration(", "quantity(") if name in rule["rule"]]
            if not costly:
                continue
            assert "string(" not in rule["rule"] or "x-kubernetes-int-or-string" in node, path
            looked_at = path
            if path == ():
                looked_at = ("metadata", "name")
            elif "self.values[0]" in rule["rule"]:
                looked_at = (*path, "values", "[]")
            assert "maxLength" in tree[looked_at], path
            for depth, step in enumerate(path):
                assert step != "[]" or "maxItems" in tree[path[:depth]], path
            assert "string(" not in rule.get("messageExpression", ""), path


def test_names_scope_and_subresource() -> None:
    service, runtime = crd("LLMService"), crd("InferenceRuntime")
    assert service["metadata"]["name"] == "llmservices.serving.hearth.dev"
    assert runtime["metadata"]["name"] == "inferenceruntimes.serving.hearth.dev"
    assert (service["spec"]["scope"], runtime["spec"]["scope"]) == ("Namespaced", "Cluster")
    for each in (service, runtime):
        assert each["spec"]["group"] == "serving.hearth.dev"
        assert each["spec"]["names"]["categories"] == ["hearth"]
        assert version(each["spec"]["names"]["kind"])["subresources"] == {"status": {}}
        assert version(each["spec"]["names"]["kind"])["name"] == "v1alpha1"


def test_columns() -> None:
    def columns(kind: str) -> list[tuple[str, str, int]]:
        found = version(kind)["additionalPrinterColumns"]
        return [(column["name"].upper(), column["jsonPath"], column.get("priority", 0)) for column in found]

    age = ("AGE", ".metadata.creationTimestamp", 0)
    assert columns("LLMService") == [
        ("PHASE", ".status.phase", 0),
        ("RUNTIME", ".status.resolvedRuntime", 0),
        ("REPLICAS", ".status.replicas", 0),
        age,
    ]
    assert columns("InferenceRuntime") == [
        ("VENDOR", ".spec.vendor", 0),
        ("RESOURCE", ".spec.accelerator.resourceName", 0),
        ("IMAGE", ".spec.container.image", 1),
        age,
    ]
    for kind in schemas():
        for column in version(kind)["additionalPrinterColumns"]:
            path = column["jsonPath"].removeprefix(".")
            assert path.startswith("metadata.") or at(kind, path)["type"] == column["type"]


def test_what_the_contract_says() -> None:
    assert "enum" not in at("InferenceRuntime", "spec.vendor")
    assert at("InferenceRuntime", "spec.vendor")["pattern"]
    assert at("InferenceRuntime", "spec.family")["enum"] == ["vllm"]
    assert schemas()["LLMService"]["required"] == ["spec"]
    assert at("LLMService", "spec")["required"] == ["model"]
    assert "required" not in at("LLMService", "spec.model")
    for kind in schemas():
        conditions = at(kind, "status.conditions")
        assert conditions["x-kubernetes-list-type"] == "map"
        assert conditions["x-kubernetes-list-map-keys"] == ["type"]
    assert at("LLMService", "spec.endpoint.gateway")["description"].startswith("Alpha: ")


class Odd(ApiObject):
    """A kind with a field that no structural schema can say."""

    metadata: ObjectMeta = Field(description="Name.")
    spec: Spec = Field(description="What is wanted.")


class Spec(Model):
    """What is wanted."""

    amount: int | str = Field(description="One or the other.")
    mode: Literal["a"] = Field("a", description="Mode.")


def test_a_model_that_a_crd_cannot_say_is_refused() -> None:
    Odd.model_rebuild()
    with pytest.raises(ValueError, match=r"spec\.amount: a structural schema cannot say anyOf"):
        structural(Odd)
