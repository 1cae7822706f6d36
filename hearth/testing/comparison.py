"""Comparison of two pods: paths that one lacks, and values that differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """Something of `before` that `after` does not have (`lost`) or has with another value (`changed`)."""

    kind: Literal["lost", "changed"]
    path: Path
    before: Any
    after: Any = None

    def __str__(self) -> str:
        place = ".".join(self.path)
        if self.kind == "lost":
            return f"{place} was {self.before!r} and is gone"
        return f"{place} was {self.before!r} and is {self.after!r}"


def differences(before: Any, after: Any, path: Path = ()) -> Iterator[Difference]:
    """Yield what `after` lost or changed; what it adds is no difference.

    Items of lists are found again by their mount path or name, all others by equality.
    """
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key, value in before.items():
            if after.get(key) is None and value is not None:
                yield Difference("lost", (*path, key), value)
            else:
                yield from differences(value, after.get(key), (*path, key))
    elif _is_list(before) and _is_list(after):
        yield from _items(before, after, path)
    elif isinstance(before, Mapping) or _is_list(before):
        yield Difference("lost", path, before)
    elif before != after:
        yield Difference("changed", path, before, after)


def _items(before: Sequence[Any], after: Sequence[Any], path: Path) -> Iterator[Difference]:
    if len(before) == len(after) == 1 and isinstance(before[0], Mapping) and not _identity(before[0]):
        yield from differences(before[0], after[0], (*path, "0"))
        return
    for item in before:
        name = _identity(item)
        if not name:
            if item not in after:
                yield Difference("lost", path, item)
            continue
        same = next((other for other in after if _identity(other) == name), None)
        if same is None:
            yield Difference("lost", (*path, name), item)
        else:
            yield from differences(item, same, (*path, name))


def _identity(item: Any) -> str:
    if not isinstance(item, Mapping):
        return ""
    return str(item.get("mountPath") or item.get("name") or "")


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
