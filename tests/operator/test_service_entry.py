"""LLMServices and InferenceRuntimes as the API server has them, however old they are."""

from __future__ import annotations

from typing import Any

import pytest

from hearth.operator.kubernetes.errors import OperatorError
from hearth.operator.service_entry import read_runtime, read_service
from tests.operator.harness import manifest, runtime_manifest


def stored(item: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    item["metadata"] |= {"uid": "u", "resourceVersion": "7", "generation": 2, **metadata}
    return item


def test_a_service() -> None:
    entry = read_service(stored(manifest()))
    assert (entry.uid, entry.version, entry.generation, entry.deleting, entry.error) == ("u", 7, 2, False, None)
    assert entry.service.spec.runtime is not None


def test_what_kubectl_notes_down_is_not_kept() -> None:
    noted = {"kubectl.kubernetes.io/last-applied-configuration": "{}", "own": "1"}
    assert dict(read_service(stored(manifest(), annotations=noted)).service.metadata.annotations) == {"own": "1"}


def test_a_spec_that_the_models_do_not_accept_is_an_error_with_the_words_of_explain() -> None:
    entry = read_service(stored(manifest(unknown=1)))
    assert entry.error is not None
    assert entry.error.reason == "InvalidSpec"
    assert "spec.unknown" in str(entry.error)
    assert entry.service.metadata.name == "m", "it has a name, and a status"


def test_a_status_that_cannot_be_read_counts_as_none() -> None:
    assert read_service({**stored(manifest()), "status": {"conditions": "x"}}).service.status is None
    assert read_service({**stored(manifest()), "status": {"phase": "Ready"}}).service.status is not None


def test_what_is_read_again_keeps_what_was_planned() -> None:
    entry = read_service(stored(manifest()))
    entry.notice = "wait"
    entry.refresh(read_service(stored(manifest(), resourceVersion="8", deletionTimestamp="2026-11-24T00:00:00Z")))
    assert (entry.version, entry.deleting, entry.notice) == (8, True, "wait")


def test_a_runtime() -> None:
    assert read_runtime(stored(runtime_manifest())).metadata.name == "engine"
    broken = stored(runtime_manifest())
    broken["spec"]["container"]["image"] = 7
    with pytest.raises(OperatorError, match="image"):
        read_runtime(broken)
