"""Events: said once, repeats counted, bounded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hearth.api import LLMService
from hearth.operator import post
from hearth.operator.events import EventDraft
from hearth.operator.kinds import EVENT
from hearth.operator.post import Poster

from .bench import manifest
from .fake import FakeApi

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DRAFT = EventDraft("Warning", "ImagePullFailed", "the image cannot be pulled")


@pytest.fixture
def service() -> LLMService:
    wire = manifest()
    return LLMService.model_validate({**wire, "metadata": {**wire["metadata"], "uid": "u"}})


async def test_a_repeat_is_counted(service: LLMService) -> None:
    api = FakeApi()
    poster = Poster(api, "me")
    await poster.post(service, DRAFT, NOW)
    await poster.post(service, DRAFT, NOW + timedelta(minutes=1))
    assert [verb for verb, _, _ in api.requests] == ["create", "patch"]
    assert len(api.names(EVENT)) == 1


async def test_a_repeat_after_the_first_was_forgotten_is_a_new_event(service: LLMService) -> None:
    api = FakeApi()
    poster = Poster(api, "me")
    await poster.post(service, DRAFT, NOW)
    api.stored.clear()
    await poster.post(service, DRAFT, NOW + timedelta(minutes=1))
    assert len(api.names(EVENT)) == 1


async def test_a_service_that_flaps_is_told_about_now_and_then(service: LLMService) -> None:
    api = FakeApi()
    poster = Poster(api, "me")
    for number in range(100):
        await poster.post(service, EventDraft("Warning", "X", str(number)), NOW)
    assert len(api.requests) == post.BURST
    await poster.post(service, DRAFT, NOW + post.REFILL)
    assert len(api.requests) == post.BURST + 1


async def test_an_event_that_cannot_be_posted_is_no_failure(
    service: LLMService, caplog: pytest.LogCaptureFixture
) -> None:
    api = FakeApi()
    api.refuse["create", "Event"] = 403, {"message": "no"}
    await Poster(api, "me").post(service, DRAFT, NOW)
    assert "was lost" in caplog.text
