"""Messages for failed validations, in the words of a manifest's author."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from hearth.api.documents import Node
from hearth.api.fields import choices_at, model_at, places_of, wire_fields
from hearth.api.rejection import REJECTED
from hearth.api.wording import FieldPath, closest, kind_of, quoted, spelled

_BOUNDS = {
    "greater_than_equal": ("ge", "smaller", "or more"),
    "less_than_equal": ("le", "larger", "or less"),
}
_WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """A fault of a field. `path` is the field's, `message` starts with the value, `remedy` says what to write."""

    path: FieldPath
    value: Any
    message: str
    remedy: str


def explain(error: ErrorDetails, root: Node, kind: type[BaseModel]) -> Explanation:
    """Explain why the object at `root` is no `kind`."""
    path: FieldPath = tuple(step for step in error["loc"] if step != "[key]")  # marks a fault of the key itself
    context: dict[str, Any] = error.get("ctx", {})
    node = root.at(path)
    value = node.value if node else None
    match error["type"]:
        case "missing":
            message, remedy = _missing(path, kind)
        case "extra_forbidden":
            message, remedy = _unknown(path, kind)
        case type_ if type_ == REJECTED:
            path = (*path[:-1], context["field"]) if "field" in context else path
            value = context.get("value", value)
            message, remedy = context["message"], context["remedy"]
        case "literal_error":
            message, remedy = _not_listed(node, choices_at(kind, path))
        case ("greater_than_equal" | "less_than_equal") as bound:
            key, comparison, direction = _BOUNDS[bound]
            message = f"{value} is {comparison} than {context[key]}"
            remedy = f"write {context[key]} {direction}"
        case "too_short":
            message, remedy = "the list is empty", "list at least one"
        case "too_long":
            message, remedy = (
                f"the list has {context['actual_length']} items and the limit is {context['max_length']}",
                "shorten it",
            )
        case "string_too_short":
            message, remedy = "it is empty", "write a value or leave the field out"
        case type_ if type_ in _WANTED:
            message, remedy = _wrong_type(node, _WANTED[type_], model_at(kind, path))
        case _:
            message, remedy = f"{shown(node)} cannot stand here", "see docs/manifests.md for what can"
    return Explanation(path, value, message, remedy)


def shown(node: Node | None) -> str:
    """Return a value as a message names it: text in quotes, other scalars as the file has them, collections by kind."""
    if node is None or (node.value is None and not node.text):
        return "nothing"
    if isinstance(node.value, str):
        return quoted(node.value)
    return node.text if node.text is not None else kind_of(node.value)


def _missing(path: FieldPath, kind: type[BaseModel]) -> tuple[str, str]:
    model = model_at(kind, path[:-1])
    field = wire_fields(model).get(str(path[-1])) if model else None
    description = (field.description if field else None) or ""
    meaning = f" ({description[0].lower()}{description[1:].rstrip('.')})" if description else ""
    return "it is missing", f"add {path[-1]}{meaning}"


def _unknown(path: FieldPath, kind: type[BaseModel]) -> tuple[str, str]:
    name = str(path[-1])
    model = model_at(kind, path[:-1])
    siblings = list(wire_fields(model)) if model else []
    parent = spelled(path[:-1]) or kind.__name__
    message = f"no such field in {parent}"
    near = closest(name, siblings)
    if near and near.casefold() == name.casefold():
        return message, f"did you mean {near}?"
    elsewhere = [spelled(place) for place in places_of(kind, name) if place[0] == "spec"]
    if len(elsewhere) == 1:
        return message, f"did you mean {elsewhere[0]}?"
    if near:
        return message, f"did you mean {near}?"
    return message, f"remove it; the fields are {', '.join(siblings)}"


def _not_listed(node: Node | None, choices: Sequence[str]) -> tuple[str, str]:
    listed = choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"
    if node is not None and isinstance(node.value, str):
        near = closest(node.value, choices) if len(choices) > 1 else None
        return f"{shown(node)} is not {listed}", f"did you mean {near}?" if near else f"write {choices[0]}" if len(
            choices
        ) == 1 else "write one of them"
    return _wrong_type(node, listed)


def _wrong_type(node: Node | None, wanted: str, model: type[BaseModel] | None = None) -> tuple[str, str]:
    value = node.value if node else None
    text = (node.text if node else None) or ""
    if wanted not in ("a list", "a mapping", "a whole number", "true or false") and text:
        # A scalar that YAML does not read as text although text is wanted.
        return f"{text} is read as {kind_of(value)}, not as text", f'put it in quotes: "{text}"'
    found = f"{shown(node)} is {kind_of(value)}" if text else f"there is {kind_of(value)}"
    if value is None:
        found = "there is nothing"
    message = f"{found} where {wanted} belongs"
    if wanted == "a mapping" and model:
        return message, f"write one with {', '.join(wire_fields(model))}"
    if wanted == "a list":
        return message, f"write [{text}]" if text else "start each item with '- '"
    if wanted == "a whole number" and isinstance(value, str) and re.fullmatch("[-+]?[0-9]+", value):
        return f"{value!r} is a number in quotes", f"write {value} without the quotes"
    if wanted == "true or false" and isinstance(value, str) and value.lower() in ("true", "false"):
        return f"{value!r} is a boolean in quotes", f"write {value.lower()} without the quotes"
    return message, 'write text, or "" for none' if wanted == "text" and value is None else f"write {wanted}"
