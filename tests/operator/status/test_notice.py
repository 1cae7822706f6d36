"""Notices: what clients that wait are told, and what they are not."""

from __future__ import annotations

import re

from hypothesis import given

from hearth.operator.diagnosis.observation import Observed
from hearth.operator.status.notice import waiting_notice
from tests.operator.observations import (
    NO_DEVICE,
    changed,
    deployment,
    node,
    observation,
    observations,
    ready_pod,
    seen,
    unscheduled,
)


def test_the_waiting_client_is_told_what_it_may_know() -> None:
    look = observation(deployment=deployment(1), nodes=[node(devices=1)], holders={"ai/other": 1})
    assert waiting_notice(look) is None
    assert waiting_notice(changed(look, pods=[unscheduled(NO_DEVICE)])) == (
        "all accelerators of the cluster are in use; the model starts as soon as one is free"
    )
    assert waiting_notice(changed(look, pods=[ready_pod()])) is None
    assert seen(changed(look, pods=[unscheduled(NO_DEVICE)]))[0] == "Pending"


@given(observations())
def test_what_a_waiting_client_is_told_is_short_and_names_nobody(observed: Observed) -> None:
    notice = waiting_notice(observed)
    if notice is None:
        return
    assert len(notice) <= 100
    assert notice.isprintable()
    for private in ("ai", "node-1", "engine:1", "tiny", "secret", "vllm-fake", "KeyError"):
        assert not re.search(rf"\b{re.escape(private)}\b", notice)
