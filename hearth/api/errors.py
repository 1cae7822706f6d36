"""The errors that every part of Hearth raises for something a user can put right."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any


class HearthError(Exception):
    """Something a user can put right: what is wrong (`message`) and what to do about it (`remedy`, may be empty)."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return join_remedy(self.message, self.remedy)


class InvalidValue(ValueError):
    """A text that is no value of its type: what is wrong (`message`) and what to write instead (`remedy`)."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message, remedy)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return join_remedy(self.message, self.remedy)


@dataclasses.dataclass(frozen=True, slots=True)
class ManifestError:
    """One fault of a manifest. `line` and `column` count from 1, `document` too; 0 means the file as a whole."""

    file: str
    document: int
    line: int
    field: str
    value: Any
    message: str
    remedy: str
    column: int = dataclasses.field(default=0, kw_only=True)

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        subject = f"{self.field}: " if self.field else ""
        return f"{place}: {subject}{join_remedy(self.message, self.remedy)}"


class ManifestErrors(HearthError):
    """Every fault found in the manifests that were given, in the order of the files and lines."""

    def __init__(self, errors: Sequence[ManifestError]) -> None:
        super().__init__("\n".join(str(error) for error in errors))
        self.errors = tuple(errors)


def join_remedy(message: str, remedy: str) -> str:
    """`message; remedy`, or the message alone when there is nothing to do."""
    return f"{message}; {remedy}" if remedy else message
