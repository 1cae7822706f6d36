"""When a replica may be used."""

from __future__ import annotations

from itertools import product

import pytest

from hearth_gateway.policy.backend import Backend
from tests.gateway.policy.support import make_endpoint


def test_usable_takes_a_sign_of_life_and_no_objection() -> None:
    for ready, answered, suspect, terminating, removed in product((False, True), repeat=5):
        backend = Backend(make_endpoint(ready=ready, terminating=terminating))
        backend.answered, backend.suspect, backend.removed = answered, suspect, removed
        assert backend.usable == ((ready or answered) and not suspect and not terminating and not removed)


@pytest.mark.parametrize("ready", [True, False])
def test_a_fresh_replica_is_what_its_source_says(ready: bool) -> None:
    backend = Backend(make_endpoint(ready=ready))
    assert backend.usable == ready
    assert (backend.in_flight, backend.pool, backend.idle) == (0, [], [])


def test_turning_ready_clears_suspicion_and_staying_ready_does_not() -> None:
    backend = Backend(make_endpoint(ready=True))
    backend.suspect = True
    backend.update(make_endpoint(ready=True))
    assert not backend.usable
    backend.update(make_endpoint(ready=False))
    backend.update(make_endpoint(ready=True))
    assert backend.usable


def test_turning_unready_takes_back_what_a_probe_said() -> None:
    backend = Backend(make_endpoint(ready=False))
    backend.answer()
    backend.update(make_endpoint(ready=False))
    assert backend.usable
    backend.update(make_endpoint(ready=True))
    backend.update(make_endpoint(ready=False))
    assert not backend.usable
    backend.answer()
    assert backend.usable


def test_an_answer_clears_suspicion() -> None:
    backend = Backend(make_endpoint(ready=True))
    backend.suspect = True
    backend.answer()
    assert backend.usable


def test_terminating_follows_the_source_both_ways() -> None:
    backend = Backend(make_endpoint())
    backend.update(make_endpoint(terminating=True))
    assert not backend.usable
    backend.update(make_endpoint())
    assert backend.usable
