"""Events: said once, repeats counted, bounded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hearth.api import LLMService
from hearth.operator.kubernetes import event_recorder
from hearth.operator.kubernetes.event_recorder import EventDraft, EventRecorder
from hearth.operator.kubernetes.kinds import EVENT
from tests.operator.harness import manifest
from tests.support.fake_api import FakeApi

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DRAFT = EventDraft("Warning", "ImagePullBackOff", "the image cannot be pulled")


@pytest.fixture
def service() -> LLMService:
    wire = manifest()
    return LLMService.model_validate({**wire, "metadata": {**wire["metadata"], "uid": "u"}})


async def test_a_repeat_is_counted(service: LLMService) -> None:
    api = FakeApi()
    recorder = EventRecorder(api, "me")
    await recorder.record(service, DRAFT, NOW)
    await recorder.record(service, DRAFT, NOW + timedelta(minutes=1))
    assert [verb for verb, _, _ in api.requests] == ["create", "patch"]
    assert len(api.names(EVENT)) == 1


async def test_a_repeat_after_the_first_was_forgotten_is_a_new_event(service: LLMService) -> None:
    api = FakeApi()
    recorder = EventRecorder(api, "me")
    await recorder.record(service, DRAFT, NOW)
    api.stored.clear()
    await recorder.record(service, DRAFT, NOW + timedelta(minutes=1))
    assert len(api.names(EVENT)) == 1


async def test_a_service_that_flaps_is_told_about_now_and_then(service: LLMService) -> None:
    api = FakeApi()
    recorder = EventRecorder(api, "me")
    for number in range(100):
        await recorder.record(service, EventDraft("Warning", "X", str(number)), NOW)
    assert len(api.requests) == event_recorder.BURST
    await recorder.record(service, DRAFT, NOW + event_recorder.REFILL)
    assert len(api.requests) == event_recorder.BURST + 1


async def test_an_event_that_cannot_be_posted_is_no_failure(
    service: LLMService, caplog: pytest.LogCaptureFixture
) -> None:
    api = FakeApi()
    api.refuse["create", "Event"] = 403, {"message": "no"}
    await EventRecorder(api, "me").record(service, DRAFT, NOW)
    assert "Failed to record an Event for ns/m" in caplog.text
