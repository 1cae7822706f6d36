"""Objects that the scenarios apply: services of the stub, and runtimes of vendors that need no hardware.

Every runtime of the suite meets the `restricted` Pod Security level, so that the namespaces can enforce it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from tests.support import manifests as builder

REGISTRY = os.environ.get("E2E_REGISTRY", "localhost")
"""The registry of the images; localhost: the development cluster was given them."""
STUB = "{{ .Image.Registry }}/hearth-vllm-stub:0.1.0"
DEVICE = "hearth.dev/fake-accelerator"
USER = 65532
RESTRICTED = "restricted"
SCENARIO_LABEL = {"hearth.dev/e2e": "scenario"}
SCENARIO = "hearth.dev/e2e=scenario"
"""Selects what belongs to scenarios."""


def namespace(name: str, level: str = RESTRICTED) -> dict[str, Any]:
    """Return a namespace that enforces a Pod Security level."""
    labels = {f"pod-security.kubernetes.io/{mode}": level for mode in ("enforce", "warn")}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {**labels, **SCENARIO_LABEL}},
    }


def no_pods(namespace: str) -> dict[str, Any]:
    """Return a quota that keeps pods out: they would cost time in scenarios that are about objects only."""
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "no-pods", "namespace": namespace},
        "spec": {"hard": {"pods": "0"}},
    }


def runtime(
    name: str,
    *,
    vendor: str = "fake",
    device: str = DEVICE,
    env: Mapping[str, str] | None = None,
    args: Sequence[str] = (),
    image: str = STUB,
    drain: bool = True,
    adapter: str = "plugin",
    startup_seconds: int = 300,
    health: Mapping[str, Any] | None = None,
    pod: Mapping[str, Any] | None = None,
    scheduler: str | None = None,
) -> dict[str, Any]:
    """Return the stub as an engine of `vendor`: five tokens, ten a second (OpenAI's client is busy with every one)."""
    settings = {"STUB_TOKEN_COUNT": "5", "STUB_TOKEN_DELAY": "100ms", **(env or {})}
    drained = ["--shutdown-timeout={{ .Service.DrainTimeoutSeconds }}"] if drain else []
    probe = {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 1}
    return builder.runtime(
        name,
        vendor=vendor,
        metadata={"labels": SCENARIO_LABEL},
        adapter=adapter,
        priority=-1000,
        container={
            "image": image,
            "args": ["serve", "{{ .Model.Path }}", "--served-model-name={{ .Service.Name }}", *drained, *args],
            "env": [{"name": key, "value": value} for key, value in settings.items()],
        },
        accelerator={"resourceName": device, **({"scheduler": {"name": scheduler}} if scheduler else {})},
        health=health or {"startup": {**probe, "failureThreshold": startup_seconds}, "readiness": probe},
        lifecycle={"preStopDrain": drain},
        pod={
            "sharedMemory": {"enabled": False},
            "securityContext": {"runAsNonRoot": True, "runAsUser": USER},
            "containerSecurityContext": {"capabilities": {"drop": ["ALL"]}},
            **(pod or {}),
        },
    )


def service(
    name: str,
    namespace: str,
    runtime: str,
    *,
    scaling: Mapping[str, Any] | None = None,
    mode: str = "keepalive",
    endpoint: Mapping[str, Any] | None = None,
    cache: Mapping[str, Any] | None = None,
    uri: str = "hf://hearth-e2e/tiny",
    **spec: Any,
) -> dict[str, Any]:
    """Return a model that is scaled to zero soon after its last request: two idle seconds are enough."""
    return builder.service(
        name,
        namespace,
        model={"source": {"uri": uri}},
        runtime={"name": runtime},
        scaling={
            "min": 0,
            "max": 1,
            "target": 10,
            "activationTimeout": "90s",
            "scaleDownStabilization": "2s",
            "drainTimeout": "20s",
            **(scaling or {}),
        },
        cache=cache or {"strategy": "None"},
        endpoint={"coldStart": {"mode": mode, "heartbeatInterval": "500ms"}, **(endpoint or {})},
        **spec,
    )
