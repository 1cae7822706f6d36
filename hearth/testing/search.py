"""Looking for an input that breaks a law."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from hypothesis import HealthCheck, Verbosity, given, settings
from hypothesis.strategies import SearchStrategy

from hearth.testing.law import LawBroken

T = TypeVar("T")

EXAMPLES = 20
"""Inputs for each law unless an author says otherwise."""

_SHRINKING = 1.5
"""Seconds spent on a smaller input after the first that breaks a law."""


@dataclass(frozen=True, slots=True)
class Search:
    """How long to look: `examples` inputs for each law. The same inputs every time, so that a result can be repeated."""

    examples: int = EXAMPLES

    @property
    def shorter(self) -> Search:
        """For a law whose check is several times as long as others."""
        return Search(-(-self.examples // 3))

    def for_all(self, inputs: SearchStrategy[T], check: Callable[[T], None]) -> None:
        """Run the check on many inputs. Raises its LawBroken for the smallest input that hypothesis finds."""
        __tracebackhide__ = True
        found: list[LawBroken] = []
        enough = float("inf")

        @settings(
            max_examples=self.examples,
            derandomize=True,
            database=None,
            deadline=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
            verbosity=Verbosity.quiet,
        )
        @given(inputs)
        def run(value: Any) -> None:
            nonlocal enough
            if time.monotonic() > enough:
                return
            try:
                check(value)
            except LawBroken as broken:
                found.append(broken)
                enough = min(enough, time.monotonic() + _SHRINKING)
                raise

        try:
            run()
        except Exception:
            # Hypothesis complains when a failure does not come again: it may be one of chance, or the time is up.
            if not found:
                raise
        if found:
            raise found[-1]
