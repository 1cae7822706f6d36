"""Merge of what user, runtime, plugin and host say about one pod: user > runtime > plugin > default, never silently.

Keyed things (environment, annotations, labels, node selector, security fields) are overlaid, and every value that lost
against another one is reported. Named things (volumes, mounts) cannot lose: a second one of the same name is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar

Source = Literal["default", "plugin", "runtime", "user"]

_RANK: Mapping[Source, int] = {"default": 0, "plugin": 1, "runtime": 2, "user": 3}

V = TypeVar("V")


class MergeConflict(Exception):
    """A plugin adds something whose name or place is taken."""


def overlay(kind: str, layers: Iterable[tuple[Source, Mapping[str, V]]]) -> tuple[dict[str, V], tuple[str, ...]]:
    """Overlay mappings; return the result, the weakest layer's keys first, and a note for every value that lost.

    A default that lost is not noted: defaults are there to be replaced.
    """
    merged, lost = _overlay(layers)
    return merged, tuple(_note(f"{kind} {key}", source, below) for key, source, below in lost)


def strongest(kind: str, choices: Iterable[tuple[Source, V | None]]) -> tuple[V | None, tuple[str, ...]]:
    """Return the strongest value that is set, and a note for every weaker one that differs."""
    layers: list[tuple[Source, Mapping[str, V]]] = [
        (source, {"": value}) for source, value in choices if value is not None
    ]
    merged, lost = _overlay(layers)
    return merged.get(""), tuple(_note(kind, source, below) for _, source, below in lost)


def _overlay(
    layers: Iterable[tuple[Source, Mapping[str, V]]],
) -> tuple[dict[str, V], list[tuple[str, Source, Source]]]:
    """Return the merged mapping, and for every value that lost its key, the source that won and the one that lost."""
    merged: dict[str, V] = {}
    origin: dict[str, Source] = {}
    lost: list[tuple[str, Source, Source]] = []
    for source, values in sorted(layers, key=lambda layer: _RANK[layer[0]]):
        for key, value in values.items():
            below = origin.get(key, "default")
            if below not in ("default", source) and merged[key] != value:
                lost.append((key, source, below))
            merged[key] = value
            origin[key] = source
    return merged, lost


def _note(subject: str, source: Source, below: Source) -> str:
    return f"{subject}: the {source}'s value is used, not the {below}'s"


def union(items: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the items in order, each once."""
    found: list[Mapping[str, Any]] = []
    for item in items:
        if item not in found:
            found.append(item)
    return found


def append_unique(
    base: Sequence[Mapping[str, Any]], added: Iterable[Mapping[str, Any]], *, key: str, kind: str
) -> list[Mapping[str, Any]]:
    """Append what a plugin adds. Raises MergeConflict when `key` is missing or its value is taken."""
    result = list(base)
    taken = {item[key] for item in result}
    for item in added:
        name = item.get(key)
        if not isinstance(name, str) or not name:
            raise MergeConflict(f"a {kind} without {key!r}: {dict(item)!r}")
        if name in taken:
            raise MergeConflict(f"the {kind} {key} {name!r} is taken")
        taken.add(name)
        result.append(item)
    return result


def deep_overlay(base: Mapping[str, Any], added: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the keys of `added` over it, mappings merged key by key, lists replaced."""
    result = dict(base)
    for key, value in added.items():
        below = result.get(key)
        result[key] = deep_overlay(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return result
