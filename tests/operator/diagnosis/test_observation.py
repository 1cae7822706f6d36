"""The observation: what it says when nobody looked."""

from __future__ import annotations

import dataclasses

import pytest

from tests.operator.observations import observation


def test_an_observation_is_a_value() -> None:
    observed = observation()
    assert (observed.nodes, observed.claims, observed.holders, observed.warnings) == (None, (), {}, ())
    with pytest.raises(dataclasses.FrozenInstanceError):
        observed.keda = False  # type: ignore[misc]
