"""What an API server does with an object of a CRD: prune, fill defaults, check the schema, check the rules.

The order and the meaning are those of Kubernetes 1.34's apiextensions-apiserver; JSON Schema and CEL are evaluated by
libraries. The functions that Kubernetes adds to CEL are given here.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

import cel
import jsonschema

from hearth.api.crd import crds
from hearth.api.durations import parse_duration
from hearth.api.quantities import parse_quantity

Schema = dict[str, Any]


@dataclass(frozen=True)
class Refusal:
    """`by` says what refused: the schema, strict field validation, or `rule` with the rule's expression."""

    path: str
    message: str
    by: str
    expression: str = ""


@dataclass(frozen=True)
class Verdict:
    """The object as the server would store it, and why it would not."""

    stored: dict[str, Any]
    refusals: tuple[Refusal, ...]


@cache
def schemas() -> dict[str, Schema]:
    """Return the schemas of both kinds."""
    return {crd["spec"]["names"]["kind"]: crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"] for crd in crds()}


@cache
def validator(kind: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(schemas()[kind])


def admit(manifest: dict[str, Any]) -> Verdict:
    """Return what `kubectl apply` of a manifest would end in."""
    schema, stored = schemas()[manifest["kind"]], copy.deepcopy(manifest)
    unknown = [Refusal(path, "unknown field", "strict") for path in prune(schema, stored, root=True)]
    fill(schema, stored)
    faults = [
        Refusal(path_of(error.absolute_path), error.message, "schema")
        for error in validator(manifest["kind"]).iter_errors(stored)
    ]
    if manifest["apiVersion"] != "serving.hearth.dev/v1alpha1":
        faults.append(Refusal("apiVersion", "no matches for kind", "discovery"))
    if not isinstance(stored.get("metadata"), dict) or "name" not in stored["metadata"]:
        faults.append(Refusal("metadata.name", "name or generateName is required", "metadata"))
    # Kubernetes does not evaluate rules on objects of the wrong shape either.
    broken = list(judge(schema, stored)) if not faults else []
    return Verdict(stored, (*unknown, *faults, *broken))


def path_of(steps: Any) -> str:
    """`spec.container.env[2].name`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).lstrip(".")


def is_open(schema: Schema) -> bool:
    return "properties" not in schema or bool(schema.get("x-kubernetes-preserve-unknown-fields"))


def parts(schema: Schema, value: Any) -> Iterator[tuple[str | int, Schema, Any]]:
    """Return the parts of a value that the schema knows, with their own schemas."""
    if isinstance(value, dict):
        for name, part in list(value.items()):
            inner = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
            if inner:
                yield name, inner, part
    elif isinstance(value, list) and "items" in schema:
        for number, part in enumerate(value):
            yield number, schema["items"], part


def prune(schema: Schema, value: Any, path: str = "", *, root: bool = False) -> Iterator[str]:
    """Remove unknown fields and nulls; yield the paths of the unknown ones."""
    if isinstance(value, dict) and not is_open(schema):
        for name in value.keys() - schema["properties"].keys():
            del value[name]
            yield f"{path}.{name}".lstrip(".")
        for name in [name for name, part in value.items() if part is None]:
            del value[name]
    for step, inner, part in parts(schema, value):
        if not (root and step == "metadata"):  # the server has a schema of its own for it
            yield from prune(inner, part, f"{path}.{step}")


def fill(schema: Schema, value: Any) -> None:
    """Fill in the defaults, from the outside to the inside."""
    if isinstance(value, dict):
        for name, inner in schema.get("properties", {}).items():
            if "default" in inner and name not in value:
                value[name] = copy.deepcopy(inner["default"])
    for _, inner, part in parts(schema, value):
        fill(inner, part)


def judge(schema: Schema, value: Any, path: str = "") -> Iterator[Refusal]:
    """Evaluate the rules."""
    for rule in schema.get("x-kubernetes-validations", ()):
        place = f"{path}{rule.get('fieldPath', '')}".lstrip(".")
        try:
            holds = evaluate(rule["rule"], value)
        except RuntimeError as error:  # such as a duration out of range: the server refuses the object as well
            yield Refusal(place, f"{error} evaluating rule: {rule['message']}", "error")
            continue
        if not holds:
            message = evaluate(rule["messageExpression"], value) if "messageExpression" in rule else rule["message"]
            yield Refusal(place, message, "rule", rule["rule"])
    for step, inner, part in parts(schema, value):
        yield from judge(inner, part, f"{path}{path_of([step]) if isinstance(step, int) else f'.{step}'}")


@cache
def compiled(expression: str) -> cel.Program:
    # The library's own times know neither Greek microseconds nor the range of Go's, and cannot be replaced by name.
    return cel.compile(re.sub(r"\b(duration|timestamp)\(", r"go_\1(", expression))


def evaluate(expression: str, value: Any) -> Any:
    """Return the result of a CEL expression."""
    return compiled(expression).execute(cel.Context({"self": value}, FUNCTIONS))


def amount(quantity: dict[str, str]) -> Decimal:
    """Return the amount. Kubernetes caps one that is too large instead of refusing it."""
    text = quantity["text"]
    try:
        return parse_quantity(text).value
    except ValueError as error:
        if "too large" not in str(error):
            raise
        return Decimal(2**63 - 1) * (-1 if text.startswith("-") else 1)


FUNCTIONS = {
    "quantity": lambda text: {"text": text},
    "isGreaterThan": lambda one, other: amount(one) > amount(other),
    "format": lambda text, values: text % tuple(values),
    "go_timestamp": lambda seconds: seconds * 10**9,
    "go_duration": lambda text: parse_duration(text).nanoseconds,
    "getSeconds": lambda nanoseconds: nanoseconds // 10**9,
}
