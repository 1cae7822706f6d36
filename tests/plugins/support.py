"""Contexts of hooks."""

from __future__ import annotations

from typing import Any

from hearth.plugins import RenderContext, ResolvedModel
from tests.support.manifests import URI, VENDOR, runtime_model, service_model


def context(vendor: str = VENDOR, **runtime: Any) -> RenderContext:
    """Return what a hook of the vendor gets for the smallest service; `runtime` are fields of the runtime's spec."""
    model = ResolvedModel(uri=URI, scheme="hf", path="acme/tiny")
    return RenderContext(service=service_model(), runtime=runtime_model(vendor=vendor, **runtime), model=model)
