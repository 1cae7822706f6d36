"""Plugins made on the spot."""

from collections.abc import Callable, Mapping
from typing import Any

from hearth.api import InferenceRuntime, LLMService
from hearth.plugins import Candidate, RenderContext, ResolvedModel, VendorInfo, hookimpl


class Plugin:
    """An object that carries hooks."""

    def __init__(self, **hooks: Callable[..., Any]) -> None:
        for name, hook in hooks.items():
            setattr(self, name, hookimpl(hook))


def plugin(name: str = "acme", /, info: Mapping[str, Any] | None = None, **hooks: Callable[..., Any]) -> Plugin:
    """A plugin object: who it is, and the given functions as marked hooks."""

    def hearth_vendor() -> VendorInfo:
        return VendorInfo(**{"name": name, "title": name.title(), **(info or {})})

    return Plugin(**{"hearth_vendor": hearth_vendor, **hooks})


def candidate(name: str, made: object, *, distribution: str | None = None, version: str = "1.2.3") -> Candidate:
    return Candidate(name, distribution or f"hearth-{name}", version, lambda: made)


def context(vendor: str = "acme", **runtime: Any) -> RenderContext:
    return RenderContext(
        service=LLMService.model_validate(
            {"metadata": {"name": "tiny"}, "spec": {"model": {"source": {"uri": "hf://acme/tiny"}}}}
        ),
        runtime=InferenceRuntime.model_validate(
            {
                "metadata": {"name": f"vllm-{vendor}"},
                "spec": {
                    "vendor": vendor,
                    "container": {"image": "engine:1"},
                    "accelerator": {"resourceName": f"{vendor}.dev/chip"},
                    **runtime,
                },
            }
        ),
        model=ResolvedModel(uri="hf://acme/tiny", scheme="hf", path="acme/tiny"),
    )
