"""Validation of hook results."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import TypeAdapter

T = TypeVar("T")

_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}


def checked(expected: type[T], result: object) -> T:
    """Return the result as `expected`, converted where that loses nothing. Raises pydantic's ValidationError."""
    if expected not in _ADAPTERS:
        _ADAPTERS[expected] = TypeAdapter(expected)
    value: T = _ADAPTERS[expected].validate_python(result)
    return value
