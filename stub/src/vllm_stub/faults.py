"""Faults on demand: what can go wrong with a real engine, chosen per request or for the whole process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vllm_stub.durations import parse_duration

HEADER = "X-Stub-Fault"
QUERY = "fault"
AFTER_TOKENS: Mapping[str, int] = {
    "error": 1,
    "truncate": 1,
    "reset": 1,
    "cut": 1,
    "hang": 1,
    "abort": 1,
    "die": 1,
    "exit": 0,
}
"""Faults that strike after N tokens, with the N that they have without a value."""
OTHERS = ("status", "hang-headers")
BEFORE_HEADERS = frozenset({"reset", "cut", "exit"})
"""Faults that at N=0 strike before the first byte of the answer."""


class FaultError(ValueError):
    """A fault that cannot be understood; the text says how to write one."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. `seconds` None means for good; `once` is the key under which it strikes a single time."""

    name: str
    after: int = 0
    status: int = 0
    seconds: float | None = None
    once: str | None = None

    @property
    def early(self) -> bool:
        """True when it strikes before the headers of the answer."""
        return self.name in OTHERS or (self.name in BEFORE_HEADERS and self.after == 0)


def parse_fault(text: str) -> Fault:
    """Read `NAME[=VALUE][;once[=KEY]]`; raises FaultError."""
    head, semicolon, tail = (part.strip() for part in text.partition(";"))
    once: str | None = None
    if semicolon:
        word, equals, key = tail.partition("=")
        if word != "once":
            raise FaultError(f"fault {text!r}: unknown modifier {tail!r}; only ;once and ;once=KEY exist")
        once = key if equals else head
    name, _, value = head.partition("=")
    try:
        if name == "status":
            return Fault(name, status=_status(value), once=once)
        if name == "hang-headers":
            return Fault(name, seconds=parse_duration(value) if value else None, once=once)
        if name in AFTER_TOKENS:
            count, slash, duration = value.partition("/")
            if slash and name != "hang":
                raise ValueError("only hang takes a duration after the slash")
            after = int(count) if count else AFTER_TOKENS[name]
            if after < 0:
                raise ValueError("a count of tokens is not negative")
            return Fault(name, after=after, seconds=parse_duration(duration) if slash else None, once=once)
    except ValueError as error:
        raise FaultError(f"fault {text!r}: {error}") from error
    raise FaultError(f"fault {text!r} is unknown; known: {', '.join([*AFTER_TOKENS, *OTHERS])}")


class Faults:
    """Which fault strikes the next inference request."""

    def __init__(self) -> None:
        self._standing: Fault | None = None
        self._text: str | None = None
        self._left: int | None = None
        self._used: set[str] = set()

    def stand(self, text: str | None, times: int | None = None) -> None:
        """Let a fault strike every request, or the next `times` ones; None ends it. Raises FaultError."""
        self._standing = parse_fault(text) if text else None
        self._text = text or None
        self._left = times

    def pick(self, request_text: str | None) -> Fault | None:
        """Return the request's own fault, else the standing one; a spent `once` does not strike. Raises FaultError."""
        if request_text:
            return self._unless_spent(parse_fault(request_text))
        if self._standing is None:
            return None
        fault = self._unless_spent(self._standing)
        if fault is not None and self._left is not None:
            self._left -= 1
            if self._left <= 0:
                self.stand(None)
        return fault

    def state(self) -> dict[str, Any]:
        """Return what stands now, for GET /control."""
        return {"fault": self._text, "times": self._left}

    def _unless_spent(self, fault: Fault) -> Fault | None:
        if fault.once is None:
            return fault
        if fault.once in self._used:
            return None
        self._used.add(fault.once)
        return fault


def _status(text: str) -> int:
    status = int(text)
    if not 400 <= status <= 599:
        raise ValueError("the status of a failed request is 400 to 599")
    return status
