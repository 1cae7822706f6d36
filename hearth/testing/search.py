"""Looking for an input that breaks a law."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from hypothesis import HealthCheck, Verbosity, given, settings
from hypothesis.strategies import SearchStrategy

from hearth.testing.law import LawBroken

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Search:
    """How long to look: `examples` inputs for each law. The same inputs every time, so that a result can be repeated."""

    examples: int = 30

    def for_all(self, inputs: SearchStrategy[T], check: Callable[[T], None]) -> None:
        """Run the check on many inputs. Raises its LawBroken for the smallest input that hypothesis finds."""
        __tracebackhide__ = True
        found: list[LawBroken] = []

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
            try:
                check(value)
            except LawBroken as broken:
                found.append(broken)
                raise

        try:
            run()
        except Exception:
            # A law may be broken only now and then (the clock, a random number); hypothesis then complains about its
            # own trouble with repeating it, and what was found still counts.
            if not found:
                raise
        if found:
            raise found[-1]
