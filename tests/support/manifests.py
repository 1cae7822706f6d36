"""Manifests of Hearth's kinds, each as small as the API accepts it: a test names what it is about.

Fields of `spec` are given by their names in YAML, and replace the default of the same name as a whole:
`service("qwen", scaling={"max": 3})`. The functions whose names end in `_model` return what the API reads from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from hearth.api import InferenceRuntime, LLMService

API_VERSION = "serving.hearth.dev/v1alpha1"
VENDOR = "acme"
URI = "hf://acme/tiny"

Manifest = dict[str, Any]


def service(
    name: str = "tiny", namespace: str = "", /, *, metadata: Mapping[str, Any] | None = None, **spec: Any
) -> Manifest:
    """Return an LLMService; nothing but its model is given."""
    return _manifest("LLMService", name, namespace, metadata, {"model": {"source": {"uri": URI}}, **spec})


def runtime(
    name: str = "", /, *, vendor: str = VENDOR, metadata: Mapping[str, Any] | None = None, **spec: Any
) -> Manifest:
    """Return an InferenceRuntime of `vendor`, by default with the name that its plugin would give it."""
    required = {
        "vendor": vendor,
        "container": {"image": "engine:1"},
        "accelerator": {"resourceName": f"{vendor}.dev/chip"},
    }
    return _manifest("InferenceRuntime", name or f"vllm-{vendor}", "", metadata, {**required, **spec})


def service_model(name: str = "tiny", namespace: str = "", /, **given: Any) -> LLMService:
    """Return `service` as the API reads it."""
    return LLMService.model_validate(service(name, namespace, **given))


def runtime_model(name: str = "", /, **given: Any) -> InferenceRuntime:
    """Return `runtime` as the API reads it."""
    return InferenceRuntime.model_validate(runtime(name, **given))


def as_yaml(*manifests: Mapping[str, Any]) -> str:
    """Return the manifests as documents of one file."""
    return yaml.safe_dump_all(manifests, sort_keys=False)


def _manifest(
    kind: str, name: str, namespace: str, metadata: Mapping[str, Any] | None, spec: Mapping[str, Any]
) -> Manifest:
    place = {"namespace": namespace} if namespace else {}
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {"name": name, **place, **(metadata or {})},
        "spec": dict(spec),
    }
