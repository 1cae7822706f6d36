"""The faults of a document that does not fit its schema: unknown and missing fields, and values of the wrong type.

`msgspec.convert` decides whether a document fits. Its errors are sentences in English and name one fault only, so these are
found by comparing the document with the schema once more.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeGuard, get_args, get_origin

import msgspec

from hearth_gateway.errors import Fault

MAX_SHOWN = 80
"""Characters of a value that are shown, at most."""

_EXPECTED: Mapping[Any, tuple[str, str]] = {
    str: ("text", "put it in quotes"),
    int: ("a whole number", "write one such as 100, without quotes or a unit"),
    float: ("a number", "write one such as 300 or 0.5, without quotes or a unit"),
}
"""What a value of each type is, and what to do about one that is not."""


def find_faults(value: object, schema: Any, path: tuple[str | int, ...] = ()) -> Iterator[Fault]:
    """Yield every reason why `msgspec.convert(value, schema)` fails; nothing when it does not."""
    if _is_struct(schema):
        yield from _of_mapping(value, schema, path)
    elif get_origin(schema) is tuple:
        yield from _of_list(value, get_args(schema)[0], path)
    else:
        yield from _of_scalar(value, schema, path)


def shown(value: object) -> str:
    """Return a value as it is shown in a message."""
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."


def _is_struct(schema: Any) -> TypeGuard[type[msgspec.Struct]]:
    return isinstance(schema, type) and issubclass(schema, msgspec.Struct)


def _of_mapping(value: object, schema: type[msgspec.Struct], path: tuple[str | int, ...]) -> Iterator[Fault]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(schema)}
    if not isinstance(value, Mapping):
        yield Fault(path, f"{shown(value)} is not a mapping", f"write one with fields of {', '.join(fields)}")
        return
    for name in value:
        if name not in fields:
            yield Fault(path, f"the field {shown(name)} is not known", _did_you_mean(name, fields))
    for name, field in fields.items():
        if name in value:
            yield from find_faults(value[name], field.type, (*path, name))
        elif field.required:
            yield Fault(path, f"the field {name!r} is missing", "add it")


def _did_you_mean(name: object, fields: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(name, fields, n=1) if isinstance(name, str) else []
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(fields)}"


def _of_list(value: object, schema: Any, path: tuple[str | int, ...]) -> Iterator[Fault]:
    if not isinstance(value, (list, tuple, set, frozenset)):
        yield Fault(path, f"{shown(value)} is not a list", "write one, such as [a, b]")
        return
    for index, item in enumerate(value):
        yield from find_faults(item, schema, (*path, index))


def _of_scalar(value: object, schema: Any, path: tuple[str | int, ...]) -> Iterator[Fault]:
    try:
        msgspec.convert(value, schema)
    except msgspec.ValidationError:
        if get_origin(schema) is Literal:
            yield Fault(path, f"{shown(value)} is not known", f"use {' or '.join(get_args(schema))}")
        else:
            what, remedy = _EXPECTED[schema]
            yield Fault(path, f"{shown(value)} is not {what}", remedy)
