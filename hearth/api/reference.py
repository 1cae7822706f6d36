"""The reference of both kinds, docs/manifests.md, written from the models: `python -m hearth.api.reference`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from hearth.api import core, durations, quantities
from hearth.api.fields import shape_of, wire_fields
from hearth.api.manifests import KINDS
from hearth.api.schema import wire_schema
from hearth.api.wording import FieldPath, spelled

_INTRODUCTION: Final = """\
# Manifests

<!-- Written by `python -m hearth.api.reference > docs/manifests.md`; a test keeps it equal to the models. -->

Hearth reads two kinds of objects, `apiVersion: serving.hearth.dev/v1alpha1`: an **LLMService** is a model to serve, an
**InferenceRuntime** is an engine on a vendor's accelerators. A file may hold several, separated by `---`.

- A *duration* is a number with a unit, or several: `10s`, `1m30s`, `1.5h`, `500ms`, `0`.
- A *quantity* is a Kubernetes quantity: `500m`, `2`, `16Gi`; fractions without a suffix go in quotes: `"0.5"`.
- A field that is left out, or null, has its default, also when the mapping around it is left out.
- Unknown fields are errors. YAML reads `on`, `no` or `1.10` as something other than text; put such texts in quotes.
- **alpha** marks what may still change.

A manifest that can be read may still ask for what this version does not do; `hearth explain -f FILE` says so.
"""


def reference() -> str:
    """Return the whole page."""
    return "\n".join([_INTRODUCTION, *_kinds(), *_shared()])


def _kinds() -> Iterator[str]:
    for name in ("LLMService", "InferenceRuntime"):
        yield f"## {name}\n\n{_meaning(KINDS[name])}\n"
        yield from _sections(KINDS[name], ())


def _sections(model: type[BaseModel], path: FieldPath) -> Iterator[str]:
    if path:
        yield f"### {spelled(path)}\n\n{_meaning(model)}\n"
    yield _table(model)
    for name, field in wire_fields(model).items():
        nested = shape_of(field).model
        if nested and not _is_shared(nested):
            yield from _sections(nested, (*path, name))


def _shared() -> Iterator[str]:
    yield "## Types of Kubernetes\n"
    models = [model for model in vars(core).values() if isinstance(model, type) and issubclass(model, BaseModel)]
    for model in models:
        if _is_shared(model):
            yield f"### {model.__name__}\n\n{_meaning(model)}\n"
            yield _table(model)


def _table(model: type[BaseModel]) -> str:
    properties = wire_schema(model)["properties"]
    rows = ["| field | type | default | meaning |", "|---|---|---|---|"]
    for name, field in sorted(wire_fields(model).items(), key=lambda entry: not _is_required(*entry)):
        cells = (
            f"`{name}`",
            _type(field, properties[name]),
            _default(name, field, properties[name]),
            _description(field),
        )
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def _meaning(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split())


def _description(field: FieldInfo) -> str:
    alpha = isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("x-hearth-alpha")
    return ("**alpha** " if alpha else "") + (field.description or "")


def _type(field: FieldInfo, schema: dict[str, Any]) -> str:
    shape = shape_of(field)
    if shape.model:
        name = f"[{shape.model.__name__}](#{shape.model.__name__.lower()})" if _is_shared(shape.model) else "mapping"
        return f"list of {name}" if shape.container is tuple else name
    return _plain(schema)


def _plain(schema: dict[str, Any]) -> str:
    present = [choice for choice in schema.get("anyOf", []) if choice != {"type": "null"}]
    if len(present) == 1:
        return _plain(present[0])
    if schema.get("x-kubernetes-int-or-string"):
        return "quantity" if schema.get("pattern") == quantities.PATTERN else "port number or name"
    if schema.get("pattern") == durations.PATTERN:
        return "duration"
    if "const" in schema or "enum" in schema:
        return ", ".join(f'`"{value}"`' if value == "" else f"`{value}`" for value in _choices(schema))
    match schema.get("type"):
        case "array":
            return f"list of {_plain(schema['items'])}"
        case "object":
            return "mapping of text" if schema.get("additionalProperties", {}).get("type") == "string" else "mapping"
        case "string":
            return "text"
        case "boolean":
            return "boolean"
        case "integer":
            return "integer" + _range(schema)
        case _:
            return "any"


def _choices(schema: dict[str, Any]) -> list[str]:
    return schema["enum"] if "enum" in schema else [schema["const"]]


def _range(schema: dict[str, Any]) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is None or least < -(2**30):
        return ""
    return f", {least} to {most}" if most and most < 2**31 - 1 else f", at least {least}"


def _default(name: str, field: FieldInfo, schema: dict[str, Any]) -> str:
    if _is_required(name, field):
        return "required"
    default = schema.get("default")
    return (
        ""
        if default is None or default in ("", [], {})
        else f"`{default if isinstance(default, str) else json.dumps(default)}`"
    )


def _is_required(name: str, field: FieldInfo) -> bool:
    # The models know their own version and kind, but a file has to say them.
    return field.is_required() or (name in ("apiVersion", "kind") and field.default is not None)


def _is_shared(model: type[BaseModel]) -> bool:
    return model.__module__ == core.__name__


if __name__ == "__main__":
    sys.stdout.write(reference())
