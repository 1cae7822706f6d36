"""The words of messages for values and fields."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

FieldPath = tuple[str | int, ...]
"""The place of a value in an object: names of fields and indexes of items."""

_LONGEST: Final = 80


def kind_of(value: Any) -> str:
    """Return what a value is, in the words of the messages."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list() | tuple():
            return "a list"
        case _:
            return "a mapping"


def quoted(text: str) -> str:
    """`text` in quotes, cut where it is too long to read in a message."""
    return repr(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}...")


def named(value: Any) -> str:
    """Return a value in a message: text in quotes, other scalars as YAML writes them, collections by what they are."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else kind_of(value)


def closest(word: str, choices: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Return the choice that was probably meant: the same but for case and separators, or with few letters changed."""
    from difflib import get_close_matches

    folded = {_folded(choice): choice for choice in choices}
    matches = get_close_matches(_folded(word), folded, n=1, cutoff=cutoff)
    return folded[matches[0]] if matches else None


def _folded(word: str) -> str:
    return word.translate({ord(separator): None for separator in "-_."}).casefold()


def spelled(path: FieldPath) -> str:
    """`spec.container.env[2].name`, `metadata.labels["example.com/team"]`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif step.replace("_", "").replace("-", "").isalnum():
            text += f".{step}" if text else step
        else:
            text += f"[{quoted(step)}]"
    return text
