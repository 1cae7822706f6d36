"""What counts as a change of a live object, and what is only a controller's doing."""

from __future__ import annotations

from typing import Any

from hearth.operator.fingerprint import live_digest

LIVE: dict[str, Any] = {
    "apiVersion": "keda.sh/v1alpha1",
    "kind": "ScaledObject",
    "metadata": {"name": "tiny", "labels": {"serving.hearth.dev/llmservice": "tiny"}},
    "spec": {"maxReplicaCount": 2},
}


def changed(**changes: Any) -> bool:
    metadata = {**LIVE["metadata"], **changes.pop("metadata", {})}
    return live_digest({**LIVE, **changes, "metadata": metadata}) != live_digest(LIVE)


def test_what_controllers_write_is_no_change() -> None:
    """KEDA puts its label and finalizer on every new ScaledObject: each would be applied a second time."""
    labels = {**LIVE["metadata"]["labels"], "scaledobject.keda.sh/name": "tiny"}
    assert not changed(metadata={"labels": labels, "finalizers": ["finalizer.keda.sh"], "resourceVersion": "2"})
    assert not changed(metadata={"annotations": {"deployment.kubernetes.io/revision": "1"}})
    assert not changed(status={"conditions": []})


def test_what_people_write_is_a_change() -> None:
    assert changed(spec={"maxReplicaCount": 3})
    assert changed(metadata={"labels": {}})
    assert changed(metadata={"labels": {**LIVE["metadata"]["labels"], "notkeda.sh/name": "x"}})
    assert changed(metadata={"annotations": {"autoscaling.keda.sh/paused": "true"}})
    assert changed(metadata={"ownerReferences": [{"uid": "x"}]})
