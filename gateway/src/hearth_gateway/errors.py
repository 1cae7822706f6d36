"""Errors that somebody can put right.

GatewayError
 - ConfigError          a services document cannot be used
 - AccessError          the access to the API server is not configured
 - ListenAddressError   a text is not an address to listen on
 - ListenError          an address cannot be listened on
 - MissingExtraError    a package that a mode needs is not installed
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace


class GatewayError(Exception):
    """Something somebody can put right: what is wrong (`message`) and what to do about it (`remedy`, may be empty)."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}; {self.remedy}" if self.remedy else self.message


@dataclass(frozen=True, slots=True)
class Fault:
    """One mistake in a document: where it is, what is wrong, and what to do about it."""

    path: tuple[str | int, ...]
    message: str
    remedy: str
    line: int = 0
    """The line of the source, counted from 1; 0 where it is unknown."""

    def below(self, *path: str | int) -> Fault:
        """Return this fault as one of a document that has the present one at a path."""
        return replace(self, path=(*path, *self.path))

    @property
    def place(self) -> str:
        """The path as people write it, such as `services[0].limits.maxHeld`; empty for the whole document."""
        return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.path).removeprefix(".")

    def __str__(self) -> str:
        return f"{self.place or 'the document'}: {self.message}; {self.remedy}"


class ConfigError(GatewayError):
    """A services document that cannot be used, with every fault that was found; `source` is its file or object."""

    def __init__(self, faults: Sequence[Fault], source: str = "") -> None:
        self.faults = tuple(faults)
        self.problems = tuple(_located(fault, source) for fault in self.faults)
        super().__init__("\n".join(self.problems))


def _located(fault: Fault, source: str) -> str:
    if not source:
        return str(fault)
    place = f"{source}:{fault.line}" if fault.line else source
    return f"{place}: {fault}" if fault.path else f"{place}: {fault.message}; {fault.remedy}"


class AccessError(GatewayError):
    """An access to the API server that is not configured."""


class ListenAddressError(GatewayError):
    """A text that is not an address to listen on."""


class ListenError(GatewayError):
    """An address that cannot be listened on."""


class MissingExtraError(GatewayError):
    """A package that a mode needs and that is not installed."""
