from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from hearth.api import InferenceRuntime, LLMService
from hearth.api.fields import shape_of, wire_fields
from hearth.api.schema import wire_schema
from tests.support.manifests import runtime_model, service_model

service = partial(service_model, "qwen", model={})
runtime = partial(
    runtime_model, "vllm", vendor="nvidia", container={"image": "x"}, accelerator={"resourceName": "nvidia.com/gpu"}
)


def models_of(model: type[BaseModel]) -> set[type[BaseModel]]:
    nested = [shape_of(field).model for field in wire_fields(model).values()]
    return {model}.union(*(models_of(inner) for inner in nested if inner))


def test_defaults_of_a_service() -> None:
    assert service().to_wire()["spec"] == {
        "model": {},
        "runtime": {"selector": {"vendor": []}, "argsOverride": []},
        "resources": {"accelerators": 1},
        "scaling": {
            "min": 0,
            "max": 1,
            "metric": "queueDepth",
            "target": 10,
            "activationTimeout": "5m0s",
            "scaleDownStabilization": "5m0s",
            "drainTimeout": "2m0s",
        },
        "cache": {"strategy": "NodeLocalPVC", "prewarm": False},
        "endpoint": {
            "openAICompatible": True,
            "coldStart": {"mode": "keepalive", "heartbeatInterval": "10s"},
            "aliases": [],
            "gateway": "shared",
            "limits": {"maxHeld": 100, "maxHeldBytes": 67108864, "maxInFlight": 1024, "maxRequestBytes": 33554432},
        },
        "imagePullSecrets": [],
    }


def test_defaults_of_a_runtime() -> None:
    assert runtime().to_wire()["spec"] == {
        "family": "vllm",
        "vendor": "nvidia",
        "priority": 0,
        "adapter": "plugin",
        "container": {
            "image": "x",
            "command": [],
            "args": [],
            "env": [],
            "port": {"name": "http", "containerPort": 8000},
        },
        "accelerator": {
            "resourceName": "nvidia.com/gpu",
            "sharing": {"supported": False, "maxAccelerators": 1},
            "nodeSelector": {},
            "tolerations": [],
            "scheduler": {},
            "nodeRequirements": [],
            "dies": 1,
        },
        "health": {},
        "lifecycle": {"preStopDrain": False},
        "pod": {
            "annotations": {},
            "labels": {},
            "hostMounts": [],
            "vendorMounts": True,
            "sharedMemory": {},
            "extraLimits": {},
            "securityContext": {},
            "containerSecurityContext": {},
            "hostIPC": False,
            "noDeviceEnv": [],
        },
    }
    metrics = runtime(metrics={"queueDepth": "vllm:num_requests_waiting"}).spec.metrics
    assert metrics
    assert (metrics.path, metrics.port) == ("/metrics", "http")


def test_fields_that_nothing_serves_yet_are_read() -> None:
    spec = service(
        model={"catalogRef": "qwen", "source": {"uri": "oci://x", "secretRef": {"name": "token"}}},
        resources={"fraction": {"memory": "8Gi", "cores": 30}},
        scaling={"metric": "kvCacheUtil"},
        cache={"strategy": "BakedImage"},
    ).spec
    assert spec.model.catalog_ref == "qwen"
    assert spec.model.source
    assert spec.model.source.secret_ref
    assert spec.model.source.secret_ref.name == "token"
    assert spec.resources.fraction
    assert spec.resources.fraction.memory
    assert spec.resources.fraction.memory.bytes == 8 * 2**30
    assert service(cache={"strategy": "None"}).spec.cache.strategy == "None"


def test_a_whole_runtime_is_read() -> None:
    spec = runtime(
        container={
            "image": "vllm/vllm-openai:v0.33.0",
            "command": ["vllm", "serve"],
            "args": ["{{ .Model.Path }}"],
            "env": [
                {"name": "A", "value": ""},
                {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            ],
            "port": {"name": "api", "containerPort": 9000},
        },
        accelerator={
            "resourceName": "huawei.com/Ascend910",
            "sharing": {"supported": True},
            "nodeSelector": {"node.kubernetes.io/npu.chip.name": "910B3"},
            "tolerations": [{"key": "huawei.com/Ascend910", "operator": "Exists", "effect": "NoSchedule"}],
            "scheduler": {"name": "volcano", "queue": "inference"},
        },
        health={
            "readiness": {"httpGet": {"path": "/health", "port": "api"}, "periodSeconds": 1},
            "liveness": {"tcpSocket": {"port": 9000}},
            "startup": {"failureThreshold": 120},
        },
        lifecycle={"terminationGracePeriodSeconds": 60, "preStopDrain": True},
        metrics={"queueDepth": "a", "kvCacheUtil": "b", "running": "c", "ttft": "d"},
        local={"command": ["vllm", "serve"], "devices": ["0", "1"], "visibleDevicesEnv": "CUDA_VISIBLE_DEVICES"},
    ).spec
    assert spec.container.env[1].value_from
    assert spec.container.env[1].value_from.field_ref
    assert spec.container.env[1].value_from.field_ref.field_path == "spec.nodeName"
    assert spec.accelerator.scheduler.queue == "inference"
    assert spec.health.readiness
    assert spec.health.readiness.http_get
    assert spec.health.readiness.http_get.port == "api"
    assert spec.local
    assert spec.local.devices == ("0", "1")


@pytest.mark.parametrize("name", ["nvidia.com/gpu", "nvidia.com/mig-1g.10gb", "hearth.dev/fake-accelerator", "cpu"])
def test_resource_names_are_free_text_that_kubernetes_takes(name: str) -> None:
    assert runtime(accelerator={"resourceName": name}).spec.accelerator.resource_name == name


@pytest.mark.parametrize("most", [1, 5])
def test_min_may_reach_max(most: int) -> None:
    assert service(scaling={"min": most, "max": most}).spec.scaling.min == most


@pytest.mark.parametrize("window", ["0s", "1s", "1h", "0"])
def test_the_ends_of_the_window_are_inside(window: str) -> None:
    assert service(scaling={"scaleDownStabilization": window}).spec.scaling.scale_down_stabilization.seconds <= 3600


def test_python_writes_the_names_of_python() -> None:
    from hearth.api.service import Cache, ColdStart

    assert Cache(storage_class_name="fast").storage_class_name == "fast"
    assert ColdStart.model_validate({"heartbeat_interval": "1s"}).heartbeat_interval.seconds == 1


def test_objects_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        service().spec.scaling.max = 3  # type: ignore[misc]


@pytest.mark.parametrize("kind", [LLMService, InferenceRuntime])
def test_every_field_is_described_for_the_crds(kind: type[BaseModel]) -> None:
    for model in models_of(kind):
        assert model.__doc__
        for name, field in wire_fields(model).items():
            assert field.description, f"{model.__name__}.{name}"
            assert field.description.endswith("."), f"{model.__name__}.{name}"


@pytest.mark.parametrize("kind", [LLMService, InferenceRuntime])
def test_the_schema_says_nothing_that_a_crd_cannot(kind: type[BaseModel]) -> None:
    """One alternative besides null, or int-or-string; no tuples, no discriminators, defaults as on the wire."""

    def check(schema: Any, path: str) -> None:
        if isinstance(schema, list):
            for item in schema:
                check(item, path)
        elif isinstance(schema, dict):
            assert (
                not {"oneOf", "prefixItems", "discriminator", "patternProperties", "propertyNames"} & schema.keys()
            ), path
            choices = [choice for choice in schema.get("anyOf", []) if choice != {"type": "null"}]
            assert len(choices) <= 1 or schema.get("x-kubernetes-int-or-string"), path
            assert not isinstance(schema.get("default"), dict), path
            for key, value in schema.items():
                check(value, f"{path}/{key}")

    schema = wire_schema(kind)
    check(schema, kind.__name__)
    if kind is LLMService:
        scaling = schema["$defs"]["Scaling"]["properties"]
        assert scaling["drainTimeout"]["default"] == "2m0s"
        assert scaling["min"] == {
            "default": 0,
            "description": scaling["min"]["description"],
            "maximum": 2**31 - 1,
            "minimum": 0,
            "title": "Min",
            "type": "integer",
        }
