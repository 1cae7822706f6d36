"""Manifests and vendors made on the spot."""

from collections.abc import Callable, Mapping
from typing import Any

from hearth.api import InferenceRuntime, LLMService
from hearth.planning import Plan, Target, make_plan
from hearth.plugins import LocalLaunch, VendorHost, VendorInfo, hookimpl

ARGS = ("--model={{ .Model.Path }}", "--served-model-name={{ .Service.Name }}")


class Plugin:
    """A vendor plugin that runs locally, with any other hooks."""

    def __init__(self, name: str, capabilities: tuple[str, ...] = ("local",), **hooks: Callable[..., Any]) -> None:
        def hearth_vendor() -> VendorInfo:
            return VendorInfo(name=name, title=name.title(), capabilities=capabilities)

        def hearth_local_command(devices: tuple[str, ...]) -> LocalLaunch:
            return LocalLaunch(argv=(f"{name}-engine",), env={"CHIPS": ",".join(devices)})

        made: dict[str, Callable[..., Any]] = {
            "hearth_vendor": hearth_vendor,
            "hearth_local_command": hearth_local_command,
            "hearth_local_inventory": lambda: None,
            "hearth_local_devices": lambda: None,
            **hooks,
        }
        for hook, function in made.items():
            setattr(self, hook, hookimpl(function))


def host(*vendors: str, capabilities: tuple[str, ...] = ("local",), **hooks: Callable[..., Any]) -> VendorHost:
    """A host of vendors; the hooks are those of each."""
    return VendorHost.of({name: Plugin(name, capabilities, **hooks) for name in vendors or ("acme",)})


def service(spec: Mapping[str, Any] | None = None, *, name: str = "tiny", **metadata: Any) -> LLMService:
    base: dict[str, Any] = {"model": {"source": {"uri": "hf://acme/tiny"}}}
    return LLMService.model_validate(
        {"metadata": {"name": name, "namespace": "ai", **metadata}, "spec": {**base, **(spec or {})}}
    )


def runtime(spec: Mapping[str, Any] | None = None, *, vendor: str = "acme", name: str = "") -> InferenceRuntime:
    base: dict[str, Any] = {
        "vendor": vendor,
        "container": {"image": "engine:1", "args": list(ARGS)},
        "accelerator": {"resourceName": f"{vendor}.dev/chip"},
    }
    return InferenceRuntime.model_validate(
        {"metadata": {"name": name or f"vllm-{vendor}"}, "spec": {**base, **(spec or {})}}
    )


def plan(
    spec: Mapping[str, Any] | None = None,
    runtime_spec: Mapping[str, Any] | None = None,
    *,
    target: Target = "cluster",
    **hooks: Callable[..., Any],
) -> Plan:
    return make_plan(service(spec), runtimes=[runtime(runtime_spec)], host=host(**hooks), target=target)
