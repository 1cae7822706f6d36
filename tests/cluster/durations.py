"""Durations of the scenarios, in seconds: what lasts longest begins first, so that nothing is waited for alone at the end.

They are recorded in `durations.json`, which `RECORD=1 make test-scale-e2e` writes. A scenario that is not in it is begun
in the middle. What is wrong in it costs time, and nothing else.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path

import pytest

from tests.cluster.node import ROOT

FILE = Path(__file__).with_name("durations.json")
FOLDER = "E2E_DURATIONS"
"""Names, for the processes of a run, the folder that they write what they measured to."""

LONG = 20.0
UNKNOWN = 15.0
SHORTEST = 2.0
"""Seconds of what is recorded."""


def in_order(items: list[pytest.Item]) -> list[pytest.Item]:
    """Return the items with the longest first.

    A worker of xdist is given two at once in the beginning: after each that is long comes one of the shortest.
    """
    known = recorded()
    seconds = {item: known.get(item.nodeid, _expected(item)) for item in items}
    longest_first = sorted(items, key=lambda item: -seconds[item])
    count = sum(each >= LONG for each in seconds.values())
    long, others = longest_first[:count], longest_first[count:]
    short = others[-count:][::-1] if count else []
    pairs = [item for pair in zip_longest(long, short) for item in pair if item is not None]
    return [*pairs, *others[: len(others) - len(short)]]


def recorded() -> Mapping[str, float]:
    """Return the durations that are known, by the scenarios' ids."""
    known: dict[str, float] = json.loads(FILE.read_text())
    return known


def _expected(item: pytest.Item) -> float:
    return UNKNOWN if "namespace" in getattr(item, "fixturenames", ()) else 0.0


class DurationReport:
    """Plugin of pytest that writes down how long each scenario that passed took."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember the call; namespaces are deleted beside what comes next."""
        if report.when == "call" and report.passed:
            self._seconds[report.nodeid] = report.duration

    def pytest_sessionfinish(self) -> None:
        """Write to a file of this process."""
        (Path(os.environ[FOLDER]) / f"{os.getpid()}.json").write_text(json.dumps(self._seconds))


@contextmanager
def measuring() -> Iterator[Callable[[], None]]:
    """Let the processes that are started meanwhile measure; yield what records it, which does nothing without RECORD=1."""
    if not os.environ.get("RECORD"):
        yield lambda: None
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ[FOLDER] = folder
        try:
            yield lambda: _record(Path(folder))
        finally:
            del os.environ[FOLDER]


def _record(folder: Path) -> None:
    seconds = dict(recorded())
    for path in folder.iterdir():
        seconds |= json.loads(path.read_text())
    lasting = {
        name: round(value)
        for name, value in sorted(seconds.items())
        if value >= SHORTEST and name.startswith(FILE.parent.relative_to(ROOT).as_posix())
    }
    FILE.write_text(json.dumps(lasting, indent=2) + "\n")
