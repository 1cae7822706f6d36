"""The cache of downloaded weights and compiled kernels: its volume, its mount, and the variables that point there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from hearth.api import InferenceRuntime, LLMService
from hearth.planning.labels import object_metadata
from hearth.planning.names import claim_name
from hearth.planning.target import Target
from hearth.plugins import ResolvedModel

CACHE_PATH = "/cache"
HOST_CACHE_ROOT = "/var/lib/hearth/cache"
"""On a node: the caches are NAMESPACE/NAME below it. With a `-` between the two, a service `a-b` of namespace `team` and
one called `b` of namespace `team-a` would share a directory, and a tenant would load what another one put there."""

VOLUME = "cache"
DEFAULT_SIZE = "50Gi"


@dataclass(frozen=True, slots=True)
class CachePlan:
    """What the cache adds to the pod; empty when there is nothing to keep."""

    env: Mapping[str, str]
    volumes: tuple[Mapping[str, Any], ...] = ()
    mounts: tuple[Mapping[str, Any], ...] = ()


def plan_cache(service: LLMService, runtime: InferenceRuntime, model: ResolvedModel, target: Target) -> CachePlan:
    """Return the cache of a pod; weights that are not downloaded need none.

    On one machine there is none either: the engine keeps what it downloads in the user's own cache.
    """
    source = {"VLLM_USE_MODELSCOPE": "true"} if model.scheme == "modelscope" else {}
    volume = _volume(service) if model.downloads and target == "cluster" else None
    if volume is None:
        return CachePlan(env=source)
    return CachePlan(
        env={
            "HF_HOME": f"{CACHE_PATH}/hf",
            "MODELSCOPE_CACHE": f"{CACHE_PATH}/modelscope",
            **source,
            **_compile_cache(runtime),
        },
        volumes=({"name": VOLUME, **volume},),
        mounts=({"name": VOLUME, "mountPath": CACHE_PATH},),
    )


def _compile_cache(runtime: InferenceRuntime) -> Mapping[str, str]:
    """Return where the engine keeps what it compiled: a minute or more of a cold start.

    vLLM tells models, arguments and devices apart itself, but not what else an image changes.
    """
    image = sha256(runtime.spec.container.image.encode()).hexdigest()[:10]
    place = f"{CACHE_PATH}/compile/{runtime.metadata.name}-{image}"
    return {
        "VLLM_CACHE_ROOT": f"{place}/vllm",
        "TRITON_CACHE_DIR": f"{place}/triton",
        "FLASHINFER_WORKSPACE_BASE": f"{place}/flashinfer",
    }


def _volume(service: LLMService) -> Mapping[str, Any] | None:
    if service.spec.cache.strategy == "NodeLocalPVC":
        return {"persistentVolumeClaim": {"claimName": claim_name(service)}}
    if service.spec.cache.strategy == "HostPath":
        directory = f"{HOST_CACHE_ROOT}/{service.metadata.namespace}/{service.metadata.name}"
        return {"hostPath": {"path": directory, "type": "DirectoryOrCreate"}}
    return None


def cache_claim(service: LLMService, runtime: InferenceRuntime, model: ResolvedModel) -> Mapping[str, Any] | None:
    """Return the PersistentVolumeClaim of the cache, or None when the service has none. Created once, never updated."""
    cache = service.spec.cache
    if cache.strategy != "NodeLocalPVC" or not model.downloads:
        return None
    spec: dict[str, Any] = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": str(cache.size or DEFAULT_SIZE)}},
    }
    if cache.storage_class_name is not None:
        spec["storageClassName"] = cache.storage_class_name
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": object_metadata(service, runtime, claim_name(service)),
        "spec": spec,
    }
