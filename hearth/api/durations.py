"""Go durations (`10s`, `1m30s`, `1.5h`, `500ms`, `0`), the form in which Kubernetes manifests write time spans.

The grammar is that of Go's `time.ParseDuration`; the Kubernetes client's own `parse_duration` takes a subset of it
(no fractions, no bare `0`, no microseconds).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema

from hearth.api.errors import InvalidValue
from hearth.api.rejection import rejected
from hearth.api.wording import named, quoted

PATTERN: Final = r"^[-+]?(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$"
"""The pattern of a duration, for schemas."""

REMEDY: Final = "write a number with a unit, such as 10s, 1m30s or 500ms"

_UNITS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # U+00B5, the micro sign
    "μs": 1_000,  # U+03BC, the Greek letter
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_MAXIMUM: Final = 2**63 - 1  # Go counts nanoseconds in an int64: about 292 years
_WHOLE: Final = re.compile(PATTERN)
_TERM: Final = re.compile(r"([0-9]*)\.?([0-9]*)(ns|us|µs|μs|ms|s|m|h)")


@dataclass(frozen=True, slots=True, order=True)
class Duration:
    """A span of time, exact to the nanosecond. `str()` gives the form that Go prints (`1m30s`)."""

    nanoseconds: int

    def __post_init__(self) -> None:
        if abs(self.nanoseconds) > _MAXIMUM:
            raise ValueError(f"a duration of {self.nanoseconds} ns is out of range; the limit is about 292 years")

    @classmethod
    def from_seconds(cls, seconds: float) -> Duration:
        """Return the duration nearest to `seconds`."""
        return cls(round(seconds * 1_000_000_000))

    @property
    def seconds(self) -> float:
        """The duration in seconds."""
        return self.nanoseconds / 1_000_000_000

    def __str__(self) -> str:
        return format_duration(self)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _validate, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "pattern": PATTERN, "maxLength": 64}


def parse_duration(text: str) -> Duration:
    """Return the duration that `text` says, by the rules of Go's `time.ParseDuration`; digits below 1 ns are cut off.

    Raises InvalidValue for anything else.
    """
    if len(text) > 64 or not _WHOLE.fullmatch(text):
        raise InvalidValue(f"{quoted(text)} is not a duration", REMEDY)
    total = 0
    for whole, fraction, unit in _TERM.findall(text):
        scale = _UNITS[unit]
        total += int(whole or "0") * scale + int(fraction or "0") * scale // 10 ** len(fraction)
    if total > _MAXIMUM:
        raise InvalidValue(f"{quoted(text)} is too long a duration", "the limit is about 292 years")
    return Duration(-total if text.startswith("-") else total)


def format_duration(duration: Duration | float) -> str:
    """Return the form that Go prints: `1h30m0s`, `1.5s`, `250ms`, `0s`. A plain number counts seconds."""
    if not isinstance(duration, Duration):
        duration = Duration.from_seconds(duration)
    nanoseconds = abs(duration.nanoseconds)
    sign = "-" if duration.nanoseconds < 0 else ""
    if nanoseconds == 0:
        return "0s"
    for unit, above in (("ns", "µs"), ("µs", "ms"), ("ms", "s")):
        if nanoseconds < _UNITS[above]:
            return f"{sign}{_decimal(nanoseconds, _UNITS[unit])}{unit}"
    minutes, rest = divmod(nanoseconds, _UNITS["m"])
    hours, minutes = divmod(minutes, 60)
    text = f"{_decimal(rest, _UNITS['s'])}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{text}"
    return f"{sign}{minutes}m{text}" if minutes else f"{sign}{text}"


def _decimal(count: int, scale: int) -> str:
    whole, rest = divmod(count, scale)
    if not rest:
        return str(whole)
    return f"{whole}.{str(rest).zfill(len(str(scale)) - 1).rstrip('0')}"


def _validate(value: Any) -> Duration:
    if isinstance(value, Duration):
        return value
    if isinstance(value, str):
        try:
            return parse_duration(value)
        except InvalidValue as error:
            raise rejected(error.message, error.remedy) from None
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise rejected(f"{value} has no unit", f"write {value}s for seconds, or a form such as 1m30s or 500ms")
    raise rejected(f"{named(value)} is not a duration", REMEDY)
