"""The CEL rules of the CRDs: checks between fields and of amounts, which no pattern can express.

The models check the same in Python (`field_validator`). A test compares both, word for word, and fails when a model
has a check without a rule. `format` and quantities in CEL need Kubernetes 1.30 or later.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from pydantic import BaseModel

from hearth.api import durations, quantities
from hearth.api.core import EnvVar, NodeRequirement, Probe
from hearth.api.names import LONGEST_SERVICE_NAME, SERVICE_LABEL
from hearth.api.pod import Pod, SharedMemory
from hearth.api.runtime import Scheduler, SharedAmount
from hearth.api.service import Cache, ColdStart, Fraction, LLMService, ModelSource, Resources, Scaling


@dataclass(frozen=True, slots=True)
class Rule:
    """A check in CEL. `expression` sees the value as `self`.

    `message` reads as the model's error does, its parts in braces being CEL expressions. `field` is the wire name of the
    field at fault where that is one inside the value. `unreadable` is said of a value that the expression cannot read,
    after the server's own words.
    """

    expression: str
    message: str
    field: str = ""
    unreadable: str = ""

    def to_wire(self) -> dict[str, Any]:
        """Return the rule as an item of `x-kubernetes-validations`."""
        wire = {"rule": self.expression}
        parts = re.split(r"\{(.*?)\}", self.message)
        if len(parts) == 1:
            wire["message"] = self.message
        else:
            # Not by `+`: the estimated cost of string(number) is beyond every bound.
            wire["messageExpression"] = f"{literal('%s'.join(parts[::2]))}.format([{', '.join(parts[1::2])}])"
        if self.unreadable:
            wire["message"] = self.unreadable
        if self.field:
            wire["fieldPath"] = f".{self.field}"
        return wire


def literal(text: str) -> str:
    """Return a CEL string."""
    escaped = text.replace("\\", r"\\")
    return f"'{escaped}'" if "'" not in text else '"' + escaped.replace('"', r"\"") + '"'


def _span(expression: str, message: str) -> Rule:
    return Rule(expression, message, unreadable=durations.REMEDY)


def _amount_above_zero(message: str) -> tuple[Rule, ...]:
    return (
        Rule(
            "quantity(string(self)).isGreaterThan(quantity('0'))",
            f"{{self}} {message}",
            unreadable=quantities.REMEDY,
        ),
    )


_POSITIVE: Final = _amount_above_zero("is not a positive quantity; write an amount above 0 or leave the field out")
_NOT_NEGATIVE: Final = (_span("duration(self) >= duration('0s')", "{self} is negative; write 0s or more"),)


def _one_handler() -> tuple[Rule, ...]:
    handlers = ("httpGet", "tcpSocket", "exec", "grpc")
    rules = []
    for number, handler in enumerate(handlers[1:], 1):
        earlier = [f"has(self.{name})" for name in handlers[:number]]
        first = (
            "".join(f"has(self.{name}) ? '{name}' : " for name in handlers[: number - 1]) + f"'{handlers[number - 1]}'"
        )
        rules.append(
            Rule(
                f"!has(self.{handler}) || !({' || '.join(earlier)})",
                f"it is given beside {{({first})}}; a probe checks in one way; keep one of them",
                field=handler,
            )
        )
    return tuple(rules)


def _outside() -> str:
    """Return a pattern of the claim URIs that lead out of the volume, up to three directories deep.

    RE2 cannot count. Planning refuses the rest, as it does on one machine, where no API server is asked.
    """
    up = r"\.\."
    name = r"([^./][^/]*|\.[^./][^/]*|\.\.[^/]+)"
    inside = r"(\.?/)*"  # parts that together stay in the directory, each with its `/`
    for _ in range(3):
        inside = f"(\\.?/|{name}/{inside}{up}/)*"
    return f"^pvc://[^/]*/(/|{inside}{up}(/|$))"


RULES: Final[Mapping[type[BaseModel], Mapping[str, tuple[Rule, ...]]]] = MappingProxyType(
    {
        LLMService: {
            "": (
                Rule(
                    f"self.metadata.name.matches({literal(SERVICE_LABEL)})",
                    "'{self.metadata.name}' is not a valid Kubernetes Service name; use at most "
                    f"{LONGEST_SERVICE_NAME} lowercase letters, digits and '-', first a letter, last not '-'; "
                    "requests can use any other name listed in spec.endpoint.aliases",
                    field="metadata.name",
                ),
            )
        },
        ModelSource: {
            "uri": (
                Rule(
                    f"!self.matches({literal(_outside())})",
                    "'{self}' leads out of the volume; write a directory inside the claim, without '..'",
                ),
            )
        },
        Fraction: {"memory": _amount_above_zero("is not a part of a memory; write an amount above 0, such as 16Gi")},
        Resources: {"cpu": _POSITIVE, "memory": _POSITIVE},
        Scaling: {
            "": (
                Rule(
                    # Both are there once defaults are filled in; a server tries the default itself, {}, as it stands.
                    "!has(self.min) || !has(self.max) || self.min <= self.max",
                    "{self.min} is larger than spec.scaling.max: {self.max}; lower min or raise max",
                    field="min",
                ),
            ),
            "activationTimeout": _NOT_NEGATIVE,
            "drainTimeout": _NOT_NEGATIVE,
            "scaleDownStabilization": (
                _span(
                    "duration(self) >= duration('0s') && duration(self) <= duration('1h')",
                    "{self} is outside 0s to 1h; write whole seconds in that range",
                ),
                _span(
                    "timestamp(0) + duration(self) == timestamp(duration(self).getSeconds())",
                    "{self} is not a whole number of seconds; write "
                    "{(duration(self) + duration('500ms')).getSeconds()}s",
                ),
            ),
        },
        Cache: {"size": _POSITIVE},
        ColdStart: {
            "heartbeatInterval": (
                _span(
                    "duration(self) > duration('0s')",
                    "{self} is not above 0s; write the time between two heartbeats, such as 10s",
                ),
            )
        },
        EnvVar: {
            "": (
                Rule(
                    "!has(self.valueFrom) || !has(self.value) || self.value == ''",
                    "it is given beside a value; keep either value or valueFrom",
                    field="valueFrom",
                ),
            )
        },
        Probe: {"": _one_handler()},
        NodeRequirement: {
            "": (
                Rule(
                    "(self.operator != 'In' && self.operator != 'NotIn') || (has(self.values) && self.values.size() > 0)",
                    "{self.operator} needs at least one value; list the values of the label",
                    field="values",
                ),
                Rule(
                    "(self.operator != 'Gt' && self.operator != 'Lt') || (has(self.values) && self.values.size() == 1 && "
                    "self.values[0].matches('^-?[0-9]+$'))",
                    '{self.operator} compares with one whole number; write it in quotes, such as ["40000"]',
                    field="values",
                ),
                Rule(
                    "(self.operator != 'Exists' && self.operator != 'DoesNotExist') || !has(self.values) || "
                    "self.values.size() == 0",
                    "{self.operator} takes no values; remove them, or use In",
                    field="values",
                ),
            )
        },
        Scheduler: {
            "": (
                Rule(
                    "!has(self.queue) || (has(self.name) && self.name == 'volcano')",
                    "'{self.queue}' is a queue, and scheduler '{(has(self.name) ? self.name : 'default')}' has none; "
                    "set scheduler.name: volcano or remove the queue",
                    field="queue",
                ),
            )
        },
        SharedAmount: {"unit": _amount_above_zero("is not a unit; write an amount above 0, such as 1Mi")},
        SharedMemory: {"size": _amount_above_zero("is not a size; write an amount above 0, or enabled: false")},
        Pod: {
            "extraLimits": tuple(
                Rule(
                    f"!('{name}' in self)",
                    f"'{name}' is for the service to say; write it as spec.resources.{name} of the LLMService",
                    field=name,
                )
                for name in ("cpu", "memory")
            )
        },
    }
)
"""The rules of the models' fields by their names on the wire; those of a whole mapping under ""."""
