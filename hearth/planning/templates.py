"""The `{{ .Field }}` templates in a runtime's arguments and environment values."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from hearth.api import LLMService
from hearth.planning.errors import PlanningError
from hearth.plugins import ResolvedModel

_TEMPLATE = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)


def template_values(service: LLMService, model: ResolvedModel, devices: int, registry: str) -> Mapping[str, str]:
    """Return what each template field becomes; `devices` are those of one replica, as its engine counts them.

    `.Image.Registry` (`registry`, where Hearth's own images are), `.Service.Accelerators` (devices per replica, for
    `--tensor-parallel-size`) and `.Service.DrainTimeoutSeconds` (whole seconds, for `--shutdown-timeout`) are additions
    to the reference implementation's three.
    """
    return {
        ".Image.Registry": registry,
        ".Model.Path": model.path,
        ".Service.Accelerators": str(devices),
        ".Service.DrainTimeoutSeconds": str(math.ceil(service.spec.scaling.drain_timeout.seconds)),
        ".Service.Name": service.metadata.name,
        ".Service.Namespace": service.metadata.namespace,
    }


def render_template(text: str, values: Mapping[str, str], *, place: str) -> str:
    """Replace every `{{ .Field }}` of `text`; `place` names the field in errors.

    Raises PlanningError (`UnknownTemplateField`) for a field that does not exist and for anything but a plain field.
    """

    def replacement(match: re.Match[str]) -> str:
        field = match.group(1)
        if field not in values:
            raise PlanningError(
                "UnknownTemplateField",
                f"{place}: {match.group(0)!r} is not a known template",
                f"use {', '.join('{{ ' + known + ' }}' for known in sorted(values))}",
            )
        return values[field]

    rendered = _TEMPLATE.sub(replacement, text)
    if "{{" in _TEMPLATE.sub("", text):
        raise PlanningError(
            "UnknownTemplateField", f"{place}: {text!r} has '{{{{' without '}}}}'", "close the template"
        )
    return rendered
