"""Cases: the inputs of the laws."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from hearth.api import InferenceRuntime, LLMService
from hearth.planning import Target
from hearth.planning.model import resolve_model
from hearth.plugins import RenderContext


@dataclass(frozen=True)
class Case:
    """A service, the runtime that it names, where it runs, and the devices that a local replica of it would get."""

    service: LLMService
    runtime: InferenceRuntime
    target: Target
    devices: tuple[str, ...] = ("0",)

    @property
    def context(self) -> RenderContext:
        """The context of the hooks: copies, as from the host, so that a hook cannot spoil another's."""
        return RenderContext(
            self.service.model_copy(deep=True),
            self.runtime.model_copy(deep=True),
            resolve_model(self.service, self.target),
        )

    def __repr__(self) -> str:
        return self.described()

    def described(self) -> str:
        """Return the input as YAML, without what the defaults say."""
        import yaml

        shown = {
            "target": self.target,
            "devices": list(self.devices),
            "service": _brief(self.service),
            "runtime": _brief(self.runtime),
        }
        return yaml.safe_dump(shown, sort_keys=False, default_flow_style=None, width=110, allow_unicode=True)


def with_service(case: Case, metadata: dict[str, Any] | None = None, **resources: Any) -> Case:
    """Return the case with other metadata, other resources (on the wire form), or both."""
    wire = case.service.to_wire()
    wire["metadata"] |= metadata or {}
    wire["spec"]["resources"] |= resources
    return replace(case, service=LLMService.model_validate(wire))


def _brief(item: LLMService | InferenceRuntime) -> dict[str, Any]:
    wire = item.to_wire(defaults=False)
    return {"name": item.metadata.name, "spec": wire["spec"]}
