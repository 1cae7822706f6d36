"""Schedule of the scenarios: which run side by side with all others, and which do not.

The marker `runs(how=...)` names what is different about a scenario:

    first   runs before all others, none of which can pass when it fails
    alone   stops what everything needs, so nothing runs beside it in its cluster
    apart   stops a part that others use, so nothing of its file runs beside it
    paired  needs two replicas of every gateway, which only one of two clusters has; nothing of its file runs beside it
    last    reads what the whole run left behind

As a program it prints the scenarios that are handed out one by one, each after its word.
"""

from __future__ import annotations

import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cluster.node import ROOT
from tests.cluster.steps import StepError

HERE = Path(__file__).parent
ONE_BY_ONE = ("alone", "paired", "apart")
EVERY = ("first", *ONE_BY_ONE, "last")


def marked(*how: str) -> str:
    """Return the expression, for pytest's `-m`, that selects the scenarios of these kinds."""
    return "(" + " or ".join(f'runs(how="{each}")' for each in how) + ")"


class Queue:
    """Scenarios that are handed out one by one: each runs once, on the first cluster that is free for it."""

    def __init__(self) -> None:
        self._alone: deque[str] = deque()
        self._files: dict[str, deque[str]] = {}
        self._paired: set[str] = set()
        for how, name in _listed():
            file = name.partition("::")[0]
            if how == "alone":
                self._alone.append(name)
                continue
            self._files.setdefault(file, deque()).append(name)
            if how == "paired":
                self._paired.add(file)

    def alone(self) -> Iterator[str]:
        """Take the ids of those that run alone, one by one."""
        return _taken(self._alone)

    def files(self, *, pairs: bool) -> list[Iterator[str]]:
        """Take the ids of the others, file by file; those that need pairs of gateways only where there are `pairs`."""
        return [_taken(left) for file, left in self._files.items() if pairs or file not in self._paired]


def _taken(left: deque[str]) -> Iterator[str]:
    """Take out one after the other, beside the other cluster's thread."""
    with suppress(IndexError):
        while True:
            yield left.popleft()


def _listed() -> list[tuple[str, str]]:
    """Collect the scenarios, in a process of its own: pytest keeps what it has imported. Raises StepError."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.cluster.schedule"],
        cwd=ROOT, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, check=False,
    )  # fmt: skip
    found = [line.partition(" ")[::2] for line in done.stdout.splitlines() if "::" in line]
    if done.returncode or not {how for how, _ in found} >= set(ONE_BY_ONE):
        raise StepError(f"found no scenarios for one of {', '.join(ONE_BY_ONE)}:\n{done.stdout}")
    return found


class _Listing:
    """Plugin of pytest that prints what was collected."""

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            marker = item.get_closest_marker("runs")
            assert marker is not None
            print(f"{marker.kwargs['how']} {item.nodeid}")


if __name__ == "__main__":
    sys.exit(pytest.main(["--collect-only", "-qq", "-m", marked(*ONE_BY_ONE), str(HERE)], plugins=[_Listing()]))
