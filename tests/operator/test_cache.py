"""Runtimes that are not valid, as the cache keeps them."""

from __future__ import annotations

import pytest

from hearth.operator.kubernetes.kinds import (
    DEPLOYMENT,
    INFERENCE_RUNTIME,
)
from tests.operator.harness import (
    Harness,
    runtime_manifest,
    serving,
)
from tests.support.fake_api import FakeApi


def break_runtime(harness: Harness, name: str = "engine", image: str = "engine:2") -> None:
    """Give an env that the API server takes; it takes keys of free mappings as they come; the models do not."""
    broken = runtime_manifest(name, image=image)
    broken["spec"]["accelerator"]["nodeSelector"] = {"no key!": "x"}
    harness.api.put_whole(INFERENCE_RUNTIME, broken)


async def test_a_runtime_that_only_the_models_refuse_is_said_to_be_invalid(api: FakeApi, harness: Harness) -> None:
    break_runtime(harness, "broken")
    harness.service(runtime={"name": "broken"})
    await harness.settle()
    condition = harness.condition("RuntimeResolved")
    assert condition["reason"] == "RuntimeInvalid"
    assert "InferenceRuntime 'broken' is not valid: spec.accelerator.nodeSelector" in condition["message"]
    harness.runtime("broken")
    await harness.settle()
    assert harness.condition("RuntimeResolved")["status"] == "True"


async def test_a_runtime_that_becomes_invalid_is_used_as_it_was(
    api: FakeApi, harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.service()
    await harness.settle()
    break_runtime(harness)
    harness.service("n")
    await harness.settle()
    assert serving(api)["image"] == "engine:1"
    assert api.has(DEPLOYMENT, "ns", "n")
    assert "InferenceRuntime engine is invalid, keeping its last valid version" in caplog.text
    for name in ("m", "n"):
        condition = harness.condition("RuntimeResolved", name)
        assert condition["status"] == "True"
        assert "'engine' is no longer valid; using its last valid version" in condition["message"]
    harness.runtime("engine", image="engine:2")
    await harness.settle()
    assert serving(api)["image"] == "engine:2"
    assert "valid" not in harness.condition("RuntimeResolved")["message"]


async def test_an_invalid_runtime_that_is_deleted_is_forgotten(api: FakeApi, harness: Harness) -> None:
    break_runtime(harness, "broken")
    harness.service(runtime={"name": "broken"})
    await harness.settle()
    api.remove(INFERENCE_RUNTIME, None, "broken", silently=True)
    await harness.resync.run()
    await harness.settle()
    assert harness.condition("RuntimeResolved")["reason"] == "RuntimeNotFound"
