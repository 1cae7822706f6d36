"""Copies of the arguments of hooks, so that no hook changes what another one, or the host, sees."""

from __future__ import annotations

from copy import copy
from typing import Any, TypeVar

from pydantic import BaseModel

M = TypeVar("M", bound=BaseModel)


def own_copy(model: M) -> M:
    """Return a copy that shares only what cannot be changed: texts, numbers, durations, quantities.

    Planning copies for every hook; `model_copy(deep=True)`, which looks at every leaf, costs several times as much.
    """
    made = copy(model)
    values = made.__dict__
    for name, value in values.items():
        if isinstance(value, _CHANGEABLE):
            values[name] = _copy(value)
    return made


_CHANGEABLE = (BaseModel, tuple, dict, list)


def _copy(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return own_copy(value)
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()} if value else {}
    if isinstance(value, list | tuple):
        return type(value)(map(_copy, value)) if value else type(value)()
    return value
