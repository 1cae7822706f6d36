"""Replacement of what cannot be changed."""

from __future__ import annotations

from tests.cluster.kube import Object
from tests.cluster.namespace import Namespace

TEMPLATE = "serving.hearth.dev/template"


async def test_a_prewarm_job_for_another_model_replaces_the_first(namespace: Namespace) -> None:
    cache = {"strategy": "NodeLocalPVC", "size": "1Mi", "prewarm": True}
    model = await namespace.service(cache=cache, uri="hf://hearth-e2e/one", ready=False)
    name = f"{model.name}-prewarm"
    first = await namespace.kube.until("Job", name, namespace.name, lambda job: True, "a Job")
    claim = await namespace.kube.get("PersistentVolumeClaim", f"{model.name}-cache", namespace.name)

    change = {"spec": {"model": {"source": {"uri": "hf://hearth-e2e/two"}}}}
    await namespace.kube.patch("LLMService", model.name, namespace.name, change)

    def another(job: Object) -> bool:
        return bool(job["metadata"]["uid"] != first["metadata"]["uid"])

    second = await namespace.kube.until("Job", name, namespace.name, another, "another Job of the same name")
    assert second["metadata"]["annotations"][TEMPLATE] != first["metadata"]["annotations"][TEMPLATE]
    assert "hearth-e2e/two" in str(second["spec"]["template"])
    after = await namespace.kube.get("PersistentVolumeClaim", f"{model.name}-cache", namespace.name)
    assert after["metadata"]["uid"] == claim["metadata"]["uid"], "weights outlive the Job that brought them"


async def test_weights_are_kept_when_a_service_no_longer_uses_their_volume(namespace: Namespace) -> None:
    model = await namespace.service(cache={"strategy": "NodeLocalPVC", "size": "1Mi"}, ready=False)
    await model.until_condition("Ready", "True")
    claim = await namespace.kube.get("PersistentVolumeClaim", f"{model.name}-cache", namespace.name)
    # None as the strategy's name: the cache's other fields go too.
    change = [{"op": "replace", "path": "/spec/cache", "value": {"strategy": "None"}}]
    changed = await namespace.kube.patch("LLMService", model.name, namespace.name, change)

    def seen(service: Object) -> bool:
        conditions = service.get("status", {}).get("conditions", ())
        return any(
            condition["type"] == "Ready" and condition["observedGeneration"] == changed["metadata"]["generation"]
            for condition in conditions
        )

    await model.until(seen, "the change carried out")
    after = await namespace.kube.get("PersistentVolumeClaim", f"{model.name}-cache", namespace.name)
    assert after["metadata"]["uid"] == claim["metadata"]["uid"]
    assert "deletionTimestamp" not in after["metadata"]
