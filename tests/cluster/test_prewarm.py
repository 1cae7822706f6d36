"""Weights are downloaded once: by a Job without a device, from a hub that counts, and by no engine after that."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.clients import PROMPT
from tests.cluster.namespace import Model, Namespace
from tools.images.recipe import RECIPES

HUB = RECIPES["hub"].reference
WEIGHTS = "model.safetensors"
WEIGHTS_SOURCE = Path(__file__).parent / "hub"
ROOT = {"securityContext": {"runAsUser": 0}, "containerSecurityContext": {}}
"""The kubelet makes a hostPath's directory for root."""
FILES = {"README.md", "config.json", "generation_config.json", "tokenizer.json", WEIGHTS}


class Hub:
    """The hub in the scenario's namespace."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self.endpoint = f"http://hub.{namespace.name}.svc:8000"
        """As pods reach it."""

    async def start(self) -> Hub:
        labels = {"app": "hub"}
        restricted = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        pod = {
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "hub",
                    "image": HUB,
                    "command": ["python", "/opt/hub/server.py"],
                    "ports": [{"containerPort": 8000}],
                    "readinessProbe": {"httpGet": {"path": "/health", "port": 8000}, "periodSeconds": 1},
                    "securityContext": restricted,
                }
            ],
        }
        where = self._namespace.name
        metadata = {"name": "hub", "namespace": where}
        await self._namespace.kube.apply(
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": metadata,
                "spec": {
                    "selector": {"matchLabels": labels},
                    "template": {"metadata": {"labels": labels}, "spec": pod},
                },
            }
        )
        await self._namespace.kube.apply(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": metadata,
                "spec": {"selector": labels, "ports": [{"port": 8000}]},
            }
        )
        ready = await self._namespace.kube.until(
            "Deployment", "hub", where, lambda each: each.get("status", {}).get("readyReplicas"), "the hub ready"
        )
        assert ready
        return self

    async def files(self, model: str = "acme/tiny") -> dict[str, int]:
        """How often each file was downloaded."""
        async with self._namespace.http(30) as client:
            found = (await client.get(f"http://hub.{self._namespace.name}.svc:8000/requests")).json()
        return {name: count["GET"] for name, count in found.get(model, {}).items() if name and count.get("GET")}


async def downloaded(namespace: Namespace, name: str = "model") -> dict[str, Any]:
    """Wait for the end of the prewarm Job."""
    return await namespace.kube.until(
        "Job", f"{name}-prewarm", namespace.name, lambda job: job.get("status", {}).get("succeeded") == 1, "downloaded"
    )


async def engine_says(model: Model) -> str:
    (pod,) = await model.awake(1)
    return await model.kube.logs(model.namespace.name, pod["metadata"]["name"], pod["spec"]["containers"][0]["name"])


async def ask(model: Model) -> None:
    answer = await model.client().chat.completions.create(model=model.name, messages=PROMPT)
    assert answer.choices[0].message.content


async def prewarmed_and_never_again(namespace: Namespace, cache: dict[str, Any], pod: dict[str, Any]) -> None:
    hub = await Hub(namespace).start()
    runtime = await namespace.runtime(image=HUB, env={"HF_ENDPOINT": hub.endpoint}, pod=pod)
    model = await namespace.service(
        runtime=runtime, ready=False, uri="hf://acme/tiny", cache={**cache, "prewarm": True}
    )
    await downloaded(namespace)
    namespace.timeline.say("downloaded")
    assert await hub.files() == dict.fromkeys(FILES, 1)
    assert await model.pods() == [], "prewarming starts no engine"
    await model.ready()
    for _ in range(2):
        await ask(model)
        assert "bytes of weights from /cache/hf/" in await engine_says(model)
        await model.asleep()
    assert await hub.files() == dict.fromkeys(FILES, 1), "no start after the Job downloads a file"


@pytest.mark.pod_security("privileged")
async def test_weights_on_the_nodes_disk_are_downloaded_once(namespace: Namespace) -> None:
    await prewarmed_and_never_again(namespace, {"strategy": "HostPath"}, ROOT)


@pytest.fixture
async def volume(namespace: Namespace, run_devcluster: Callable[..., Any], cluster_name: str) -> AsyncIterator[str]:
    """Create a volume on the node's disk that has a model in it and that every user may write to; yield its class."""
    directory = f"/var/lib/{namespace.name}"
    make = "import sys; sys.path.insert(0, sys.argv[1]); from weights import make_model; from pathlib import Path; "
    make += "root = Path(sys.argv[2]); make_model(root / 'stored', 'stored', 65536); root.chmod(0o777)"
    # what comes after the directory is the helper's own --name
    await run_devcluster(
        "exec", "--name", cluster_name, "--", sys.executable, "-c", make, str(WEIGHTS_SOURCE), directory
    )
    await namespace.kube.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": namespace.name},
            "spec": {
                "storageClassName": namespace.name,
                "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Retain",
                "hostPath": {"path": directory, "type": "Directory"},
            },
        }
    )
    yield namespace.name
    await namespace.kube.delete("PersistentVolume", namespace.name)


async def test_weights_on_a_claim_are_downloaded_once(namespace: Namespace, volume: str) -> None:
    cache = {"strategy": "NodeLocalPVC", "size": "1Gi", "storageClassName": volume}
    await prewarmed_and_never_again(namespace, cache, {})


async def test_weights_that_lie_on_a_claim_are_only_read(namespace: Namespace, volume: str) -> None:
    await namespace.kube.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "models", "namespace": namespace.name},
            "spec": {
                "storageClassName": volume,
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
            },
        }
    )
    runtime = await namespace.runtime(image=HUB, env={"HF_ENDPOINT": "http://nobody.invalid"})
    cache = {"strategy": "NodeLocalPVC", "prewarm": True}
    model = await namespace.service(runtime=runtime, uri="pvc://models/stored", cache=cache)
    await ask(model)
    assert "bytes of weights from " in await engine_says(model)
    (pod,) = await model.pods()
    (mount,) = [each for each in pod["spec"]["containers"][0]["volumeMounts"] if each["name"] not in ("cache", "dshm")]
    assert mount["readOnly"] is True
    assert await namespace.kube.find("Job", "model-prewarm", namespace.name) is None
    claims = await namespace.kube.list("PersistentVolumeClaim", namespace.name)
    assert [claim["metadata"]["name"] for claim in claims] == ["models"], "nothing is downloaded, so nothing is kept"


async def test_without_a_cache_every_start_downloads(namespace: Namespace) -> None:
    """The other side, so that the counting is known to count."""
    hub = await Hub(namespace).start()
    runtime = await namespace.runtime(image=HUB, env={"HF_ENDPOINT": hub.endpoint})
    model = await namespace.service(runtime=runtime, uri="hf://acme/tiny")
    for starts in (1, 2):
        await ask(model)
        assert (await hub.files())[WEIGHTS] == starts
        await model.asleep()
    assert await namespace.kube.find("Job", "model-prewarm", namespace.name) is None


@pytest.mark.pod_security("privileged")
async def test_a_model_that_does_not_exist_is_said(namespace: Namespace) -> None:
    hub = await Hub(namespace).start()
    runtime = await namespace.runtime(image=HUB, env={"HF_ENDPOINT": hub.endpoint}, pod=ROOT)
    cache = {"strategy": "HostPath", "prewarm": True}
    model = await namespace.service(runtime=runtime, ready=False, uri="hf://acme/none", cache=cache)
    await model.until_condition("Prewarmed", "False", says="acme/none")
