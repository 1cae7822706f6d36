"""Objects that change under load, or are deleted or edited by hand, and services that cannot be planned."""

from __future__ import annotations

from typing import Any

from tests.cluster.clients import ask
from tests.cluster.load import Load
from tests.cluster.manifests import runtime, service
from tests.cluster.namespace import GATEWAY_NAME, SERVING, Namespace

OWNED = ("Deployment", "Service", "ScaledObject", "HorizontalPodAutoscaler", "Pod", "Job", "PersistentVolumeClaim")


async def test_service_deleted_under_load(namespace: Namespace) -> None:
    """Clients get an end that they can see, and nothing of the service is left; the other one is not touched."""
    name = await namespace.runtime()
    model = await namespace.service(runtime=name, scaling={"drainTimeout": "5s"})
    other = await namespace.service("other", name)
    async with Load(model, clients=6, query={"tokens": 10}) as load, Load(other, clients=2, name="other") as others:
        await load.answered(12)
        await others.answered(4)
        await namespace.kube.delete("LLMService", model.name, namespace.name)
        for kind in ("Deployment", "Service", "ScaledObject"):
            await namespace.kube.until_gone(kind, model.name, namespace.name)
        load.stop()
        answers = await load.finished()
        for kind in OWNED:
            await namespace.kube.until_count(
                kind, namespace.name, f"{SERVING}={model.name}", lambda found: not found, f"no {kind} of the service"
            )
        others.stop()
        assert all(answer.ok(5) for answer in await others.finished())
    served = [answer for answer in answers if answer.error is None]
    assert all(answer.ok(10) for answer in served), "an answer without an error is whole"
    assert all(answer.finish is None for answer in answers if answer.error is not None), "never a false end"


async def test_service_edited_under_load(namespace: Namespace) -> None:
    """New arguments roll the backends one after the other; no request is lost, none is served twice."""
    model = await namespace.service(scaling={"max": 2, "min": 2, "target": 4})
    await model.awake(2)
    async with Load(model, clients=6, query={"tokens": 20}) as load:
        await load.answered(6)
        before = {pod["metadata"]["name"] for pod in await model.pods()}
        change = {"spec": {"runtime": {"argsOverride": ["--max-model-len=4096"]}}}
        await namespace.kube.patch("LLMService", model.name, namespace.name, change)
        await namespace.pods_until(
            model.pods_label,
            lambda pods: (
                len(pods) == 2
                and not before & {pod["metadata"]["name"] for pod in pods}
                and all("--max-model-len=4096" in pod["spec"]["containers"][0]["args"] for pod in pods)
            ),
            "two new pods and no old one",
            240,
        )
        await model.awake(2)
        await load.answered(6)
        load.stop()
        answers = await load.finished()
    assert all(answer.ok(20) for answer in answers), [each for each in answers if not each.ok(20)]
    await namespace.kube.delete("LLMService", model.name, namespace.name)
    await namespace.pods_until(model.pods_label, lambda pods: not pods, "no pod")
    assert await namespace.request_log.settle() == {answer.tag: 1 for answer in answers}


async def test_a_changed_runtime_rolls_its_services_only(namespace: Namespace) -> None:
    one, two = await namespace.runtime("one"), await namespace.runtime("two")
    first = await namespace.service("first", one)
    second = await namespace.service("second", two)
    generations = {}
    for model in (first, second):
        found = await namespace.kube.get("Deployment", model.name, namespace.name)
        generations[model.name] = found["metadata"]["generation"]
    await namespace.kube.apply(runtime(one, env={"STUB_TOKEN_COUNT": "6"}))
    await namespace.kube.until(
        "Deployment",
        first.name,
        namespace.name,
        lambda each: each["metadata"]["generation"] > generations[first.name],
        "it rolls",
    )
    assert (await ask(first.client(), first.name, "new")).ok(6)
    assert (await ask(second.client(), second.name, "old")).ok(5)
    found = await namespace.kube.get("Deployment", second.name, namespace.name)
    # KEDA's change of the replicas counts as well
    assert found["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] == "5"


async def test_objects_deleted_or_edited_by_hand_come_back(namespace: Namespace) -> None:
    """Every object of a service and of the gateway; the replicas stay KEDA's."""
    model = await namespace.service()
    assert (await ask(model.client(), model.name, "awake")).ok(5)
    for kind, name in (
        ("Service", model.name), ("Service", f"{model.name}-backend"), ("ScaledObject", model.name),
        ("ConfigMap", GATEWAY_NAME), ("Service", GATEWAY_NAME), ("RoleBinding", GATEWAY_NAME),
        ("Role", GATEWAY_NAME), ("ServiceAccount", GATEWAY_NAME),
    ):  # fmt: skip
        before = await namespace.kube.get(kind, name, namespace.name)
        await namespace.kube.delete(kind, name, namespace.name)
        uid = before["metadata"]["uid"]
        await namespace.kube.until(
            kind, name, namespace.name, lambda each, uid=uid: each["metadata"]["uid"] != uid, "it comes back"
        )  # type: ignore[misc]

    async def edit(kind: str, name: str, change: Any, back: Any) -> None:
        await namespace.kube.patch(kind, name, namespace.name, change)
        await namespace.kube.until(kind, name, namespace.name, back, f"{change} is undone")

    await edit(
        "Service", model.name, {"spec": {"selector": {"a": "b", "serving.hearth.dev/gateway": "nobody"}}},
        lambda each: each["spec"]["selector"]["serving.hearth.dev/gateway"] == GATEWAY_NAME,
    )  # fmt: skip
    await edit(
        "ScaledObject", model.name, {"spec": {"maxReplicaCount": 9}}, lambda each: each["spec"]["maxReplicaCount"] == 1
    )
    await edit(
        "Deployment", model.name, {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 7}}}},
        lambda each: each["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > 7,
    )  # fmt: skip
    namespace.addresses = type(namespace.addresses)(namespace.kube)  # the Services have other addresses now
    assert (await ask(model.client(), model.name, "still")).ok(5)


async def test_a_service_that_cannot_be_planned_says_why(namespace: Namespace) -> None:
    """A runtime that is not there: nothing is made, the status names what to do, and it recovers by itself."""
    await namespace.kube.apply(service("model", namespace.name, f"{namespace.name}-later"))
    model_status = await namespace.kube.until(
        "LLMService",
        "model",
        namespace.name,
        lambda each: any(
            seen["type"] == "RuntimeResolved" and seen["status"] == "False"
            for seen in each.get("status", {}).get("conditions", [])
        ),
        "RuntimeResolved is False",
    )
    resolved = next(each for each in model_status["status"]["conditions"] if each["type"] == "RuntimeResolved")
    assert f"{namespace.name}-later" in resolved["message"]
    assert await namespace.kube.find("Deployment", "model", namespace.name) is None
    name = await namespace.runtime("later")
    model = await namespace.service("model", name)
    assert (await ask(model.client(), model.name, "now")).ok(5)
