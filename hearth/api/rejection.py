"""Rejections: the error of a validator, with what is wrong and what to write instead."""

from __future__ import annotations

from typing import Any, Final

from pydantic_core import PydanticCustomError

REJECTED: Final = "hearth_rejected"
"""The error type of every fault that a validator of this package reports itself."""

_SAME: Final[Any] = object()


def rejected(message: str, remedy: str, *, field: str = "", value: Any = _SAME) -> PydanticCustomError:
    """Return the error to raise from a validator.

    `message` starts with the offending value, as in "3 is larger than ...". `field` moves the error to a sibling of the
    validated field (its wire name) and `value` is then that sibling's value: a rule between two fields is checked where
    the later one is validated, but may be the earlier one's fault.
    """
    context: dict[str, Any] = {"message": message, "remedy": remedy}
    if field:
        context["field"] = field
    if value is not _SAME:
        context["value"] = value
    return PydanticCustomError(REJECTED, "{message}; {remedy}", context)
