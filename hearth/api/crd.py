"""The CustomResourceDefinitions of both kinds, written from the models.

Defaults are the models' own, also where a parent is left out: a mapping whose fields have defaults is itself `{}` by
default, and the API server then fills it. So an object in the cluster says what holds, `hearth up` and the operator
read the same from a manifest, and a later release with other defaults does not change a service that runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from hearth.api.base import API_VERSION, GROUP
from hearth.api.fields import shape_of, wire_fields
from hearth.api.metadata import Condition
from hearth.api.rules import RULES
from hearth.api.runtime import InferenceRuntime
from hearth.api.schema import wire_schema
from hearth.api.service import LLMService

Schema = dict[str, Any]

_HEADER: Final = "# Written by `make crds` from the models in hearth/api; a test keeps it equal to them.\n"

_KEYWORDS: Final = frozenset(
    {
        "additionalProperties",
        "anyOf",
        "default",
        "description",
        "enum",
        "format",
        "items",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "pattern",
        "properties",
        "required",
        "type",
        "x-kubernetes-int-or-string",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-list-type",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-validations",
    }
)
"""The keywords of a structural schema that this module can write."""

_MODEL: Final = "x-hearth-model"
"""Remembers, while a schema is converted, which model it is that of."""

_LIST_KEYS: Final[Mapping[type[BaseModel], tuple[str, ...]]] = {Condition: ("type",)}
"""Lists that are mappings by a key of their items; each item then has an owner of its own in server-side apply."""


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    path: str
    type: str = "string"
    priority: int = 0

    def to_wire(self) -> dict[str, Any]:
        wire: dict[str, Any] = {"jsonPath": self.path, "name": self.name, "type": self.type}
        return {**wire, "priority": self.priority} if self.priority else wire


@dataclass(frozen=True, slots=True)
class _Resource:
    """What a CustomResourceDefinition says beside the schema."""

    kind: type[BaseModel]
    plural: str
    scope: str
    short_name: str
    columns: tuple[_Column, ...]


_AGE: Final = _Column("Age", ".metadata.creationTimestamp", "date")
_RESOURCES: Final = (
    _Resource(
        InferenceRuntime,
        "inferenceruntimes",
        "Cluster",
        "irt",
        (
            _Column("Vendor", ".spec.vendor"),
            _Column("Resource", ".spec.accelerator.resourceName"),
            _Column("Image", ".spec.container.image", priority=1),
            _AGE,
        ),
    ),
    _Resource(
        LLMService,
        "llmservices",
        "Namespaced",
        "llm",
        (
            _Column("Phase", ".status.phase"),
            _Column("Runtime", ".status.resolvedRuntime"),
            _Column("Replicas", ".status.replicas", "integer"),
            _AGE,
        ),
    ),
)


def crds() -> tuple[dict[str, Any], ...]:
    """Both CustomResourceDefinitions, by name. Raises ValueError for a model that no structural schema can say."""
    return tuple(_definition(resource) for resource in _RESOURCES)


def crd_files() -> dict[str, str]:
    """Return the text of each definition by the name of its file."""
    import yaml

    return {
        f"{crd['spec']['names']['plural']}.yaml": _HEADER
        + yaml.safe_dump(crd, allow_unicode=True, width=120, explicit_start=True)
        for crd in crds()
    }


def _definition(resource: _Resource) -> dict[str, Any]:
    kind = resource.kind.__name__
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "categories": ["hearth"],
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": resource.plural,
                "shortNames": [resource.short_name],
                "singular": kind.lower(),
            },
            "scope": resource.scope,
            "versions": [
                {
                    "additionalPrinterColumns": [column.to_wire() for column in resource.columns],
                    "name": API_VERSION.removeprefix(f"{GROUP}/"),
                    "schema": {"openAPIV3Schema": structural(resource.kind)},
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                }
            ],
        },
    }


def structural(kind: type[BaseModel]) -> Schema:
    """Return the structural schema of a kind. Raises ValueError for what cannot be said in one."""
    schema, converter = wire_schema(kind), _Converter(kind)
    parts = {name: converter.converted(part, name) for name, part in schema["properties"].items() if name != "metadata"}
    rules = RULES.get(kind, {}).get("", ())
    metadata = shape_of(wire_fields(kind)["metadata"]).model
    assert metadata
    name = converter.converted(wire_schema(metadata)["properties"]["name"], "metadata.name")
    if any("self.metadata.name" in rule.expression for rule in rules):
        del name["pattern"]  # the rule says it with a remedy
    root: Schema = {
        "description": _sentence(schema),
        "properties": {
            **parts,
            "apiVersion": {"description": parts["apiVersion"]["description"], "type": "string"},
            "kind": {"description": parts["kind"]["description"], "type": "string"},
            # The API server knows the rest of the metadata; a CRD may restrict the name and nothing else.
            "metadata": {"properties": {"name": name}, "type": "object"},
        },
        "required": [name for name in schema["required"] if name != "metadata"],
        "type": "object",
    }
    if rules:
        root["x-kubernetes-validations"] = [rule.to_wire() for rule in rules]
    return root


def _sentence(schema: Schema) -> str:
    """Return the description on one line."""
    return " ".join(schema.get("description", "").split())


class _Converter:
    """Turns the JSON schema of a kind into one that Kubernetes takes: references inlined, no null, no titles."""

    def __init__(self, kind: type[BaseModel]) -> None:
        self._definitions: Mapping[str, Schema] = wire_schema(kind)["$defs"]
        self._models: dict[str, type[BaseModel]] = {}
        for model in _models_of(kind):
            if self._models.setdefault(model.__name__, model) is not model:
                raise ValueError(f"two models are called {model.__name__}; rename one of them")

    def converted(self, schema: Schema, path: str) -> Schema:
        """Return the schema without what a structural schema cannot say. `path` is for errors."""
        schema = self._resolved(schema)
        model = self._models.get(schema.pop(_MODEL, ""))
        schema.pop("title", None)
        alpha = schema.pop("x-hearth-alpha", False)
        if "const" in schema:
            schema["enum"] = [schema.pop("const")]
        if schema.get("additionalProperties") in (False, True):
            del schema["additionalProperties"]  # unknown fields are pruned, and refused with fieldValidation=Strict
        if schema.get("default") in (None, "", [], {}):
            schema.pop("default", None)  # the models read an absent text, list or mapping as an empty one
        if "description" in schema or alpha:
            schema["description"] = ("Alpha: " if alpha else "") + _sentence(schema)
        if schema.get("type") == "integer":
            small = max(-schema.get("minimum", -(2**63)), schema.get("maximum", 2**63)) <= 2**31
            schema["format"] = "int32" if small else "int64"
        if schema.get("type") == "array":
            schema |= self._list(schema, path)
        if isinstance(schema.get("additionalProperties"), dict):
            schema["additionalProperties"] = self.converted(schema["additionalProperties"], f"{path}.*")
        if "properties" in schema:
            schema["properties"] = {
                name: self.converted(part, f"{path}.{name}") for name, part in schema["properties"].items()
            }
        if model:
            self._attach_rules(model, schema)
            self._default_parents(model, schema)
        unknown = schema.keys() - _KEYWORDS
        if not schema.get("x-kubernetes-int-or-string"):
            unknown |= schema.keys() & {"anyOf"}
        if unknown:
            raise ValueError(
                f"{path}: a structural schema cannot say {', '.join(sorted(unknown))}; write the field otherwise"
            )
        return schema

    def _resolved(self, schema: Schema) -> Schema:
        """Return the schema with its reference inlined and null taken away; what stands beside the reference wins."""
        schema = deepcopy(schema)
        while True:
            if "$ref" in schema:
                name = schema.pop("$ref").rpartition("/")[2]
                schema = {**deepcopy(self._definitions[name]), **schema, _MODEL: name}
            elif "anyOf" in schema and {"type": "null"} in schema["anyOf"]:
                choices = [choice for choice in schema.pop("anyOf") if choice != {"type": "null"}]
                schema = {**(choices[0] if len(choices) == 1 else {"anyOf": choices}), **schema}
            else:
                return schema

    def _list(self, schema: Schema, path: str) -> Schema:
        items = schema["items"]
        keys = _LIST_KEYS.get(self._models.get(items.get("$ref", "").rpartition("/")[2], BaseModel))
        kind: Schema = {"x-kubernetes-list-type": "atomic"}
        if keys:
            kind = {"x-kubernetes-list-map-keys": list(keys), "x-kubernetes-list-type": "map"}
        return {"items": self.converted(items, f"{path}[]"), **kind}

    def _attach_rules(self, model: type[BaseModel], schema: Schema) -> None:
        for field, rules in RULES.get(model, {}).items():
            place = schema["properties"][field] if field else schema
            place["x-kubernetes-validations"] = [rule.to_wire() for rule in rules]

    def _default_parents(self, model: type[BaseModel], schema: Schema) -> None:
        """Make a mapping that the model fills when it is absent `{}` by default, if that fills anything."""
        for name, field in wire_fields(model).items():
            part = schema["properties"][name]
            inside = part.get("properties", {}).values()
            if field.default_factory and shape_of(field).model and any("default" in inner for inner in inside):
                part["default"] = {}


def _models_of(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in wire_fields(model).values():
        nested = shape_of(field).model
        if nested:
            yield from _models_of(nested)
