"""values.yaml and its schema agree, and say what everything is for. Without helm."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema
import pytest

from tests.chart.support import schema, values

OPEN = {"operator.resources", "gateway.resources", "dashboard.labels"}
"""Mappings whose keys are the user's; their defaults are examples."""


def leaves(tree: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value by dotted key. What users fill with keys of their own is one value."""
    for key, value in tree.items():
        where = f"{path}.{key}" if path else key
        if isinstance(value, dict) and value and where not in OPEN:
            yield from leaves(value, where)
        else:
            yield where, value


def node(path: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = schema()
    for key in path.split("."):
        found = found["properties"][key]
    return found


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


def test_the_defaults_are_valid() -> None:
    jsonschema.validate(values(), schema(), cls=jsonschema.Draft202012Validator)


def test_every_value_of_the_schema_has_a_default_and_none_may_be_taken_away() -> None:
    def check(part: Mapping[str, Any], default: Mapping[str, Any], path: str) -> None:
        names = set(part["properties"]) - {"global"}
        assert names == set(default), path
        assert names == set(part["required"]), f"{path}: `null` would take a default away"
        assert part["additionalProperties"] is False, path
        for name in names:
            where = f"{path}.{name}".lstrip(".")
            if "properties" in part["properties"][name] and where not in OPEN:
                check(part["properties"][name], default[name], where)

    check(schema(), values(), "")


@pytest.mark.parametrize(("path", "default"), list(leaves(values())))
def test_no_value_takes_anything(path: str, default: Any) -> None:
    """A type is the least that is checked: a text in quotes that means a number or a boolean is caught."""
    resolved = node(path)
    if "$ref" in resolved:
        resolved = schema()["$defs"][resolved["$ref"].rsplit("/", 1)[1]]
    assert "enum" in resolved or "type" in resolved
    wrong = 7 if isinstance(default, str) else "x"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(_set(path, wrong), schema(), cls=jsonschema.Draft202012Validator)


def test_a_wrong_key_is_refused_at_every_depth() -> None:
    for path in {"", *(where.rsplit(".", 1)[0] for where, _ in leaves(values()) if "." in where)}:
        with pytest.raises(jsonschema.ValidationError, match="wrong"):
            jsonschema.validate(_set(f"{path}.wrong".lstrip("."), 1), schema(), cls=jsonschema.Draft202012Validator)


def _set(path: str, value: Any) -> dict[str, Any]:
    tree: dict[str, Any] = copy.deepcopy(dict(values()))
    *groups, key = path.split(".")
    inner = tree
    for group in groups:
        inner = inner[group]
    inner[key] = value
    return tree
