"""Time-outs of foreign code: results, exceptions, and calls that hang."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest

from hearth.plugins.timeouts import BoundedCaller, HookTimeout


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """Let what hangs end with the test."""
    event = threading.Event()
    yield event
    event.set()


def test_what_a_call_returns_or_raises_is_passed_on() -> None:
    caller = BoundedCaller()
    assert caller.call(lambda: 42, 1.0) == 42
    with pytest.raises(SystemExit, match="3"):
        caller.call(lambda: sys.exit(3), 1.0)


def test_calls_share_a_thread() -> None:
    caller = BoundedCaller()
    assert caller.call(threading.get_ident, 1.0) == caller.call(threading.get_ident, 1.0) != threading.get_ident()


def test_a_call_that_hangs_is_given_up_and_the_next_one_gets_a_thread_of_its_own(release: threading.Event) -> None:
    caller = BoundedCaller()
    with pytest.raises(HookTimeout, match=r"it did not return within 0\.05 s"):
        caller.call(release.wait, 0.05)
    assert caller.call(lambda: 42, 1.0) == 42
