"""Prints the scenarios that run.py hands out one by one, each with its kind: `alone`, `pair` or `disruptive`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

KINDS = ("alone", "pair", "disruptive")


class Listing:
    """What a collection has found. The first kind counts."""

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            kind = next(kind for kind in KINDS if item.get_closest_marker(kind))
            print(f"{kind} {item.nodeid}")


if __name__ == "__main__":
    options = ["--collect-only", "-qq", "-m", " or ".join(KINDS)]
    sys.exit(pytest.main([str(Path(__file__).parent), *options], plugins=[Listing()]))
