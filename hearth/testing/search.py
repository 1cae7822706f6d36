"""Search for an input that breaks a law."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from hypothesis import HealthCheck, Verbosity, given, settings
from hypothesis.strategies import SearchStrategy

from hearth.testing.law import LawBroken

T = TypeVar("T")

EXAMPLES = 20
"""Inputs for each law unless an author says otherwise."""


class _Enough(BaseException):
    """Ends hypothesis' search at once, as KeyboardInterrupt would."""


@dataclass(frozen=True, slots=True)
class Search:
    """How long to look: `examples` inputs for each law, the same in every run.

    When one of them breaks the law, a smaller one is looked for during `shrinking` seconds.
    """

    examples: int = EXAMPLES
    shrinking: float = 2.0

    @property
    def shorter(self) -> Search:
        """For a law whose check is several times as long as others."""
        return replace(self, examples=-(-self.examples // 3))

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
                raise _Enough
            try:
                check(value)
            except LawBroken as broken:
                found.append(broken)
                enough = min(enough, time.monotonic() + self.shrinking)
                raise

        try:
            run()
        except (Exception, _Enough):
            # Hypothesis complains when a failure does not come again, which is how failures of chance look.
            if not found:
                raise
        if found:
            raise found[-1]
