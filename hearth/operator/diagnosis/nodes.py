"""Nodes: what they have of a pod's device, and what keeps them from running the pod."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hearth.operator.objects import Node, Taint
from hearth.planning import Plan

_HARD_EFFECTS = ("NoSchedule", "NoExecute")


@dataclass(frozen=True, slots=True)
class Demand:
    """A pod's request to a node."""

    device: str
    """The extended resource that counts the runtime's devices."""
    count: int
    """Of it, for one replica."""
    spec: Mapping[str, Any]
    """The pod's spec: selector, affinity, tolerations."""


@dataclass(frozen=True, slots=True)
class Supply:
    """A pod's device on the nodes."""

    total: int
    """On all nodes."""
    largest: int
    """On one node, of any."""
    open: int
    """On the nodes that may take the pod and could hold at least one replica."""
    nodes: int
    """How many have enough for one replica."""
    suitable: int
    """How many of these may take the pod."""
    lacking: int
    """How many may take the pod and have too few for one replica. Of each of them the scheduler says so, always."""
    barriers: tuple[str, ...]
    """Why nodes that have enough may not take the pod, with how many they are; most frequent first."""


def supply(demand: Demand, nodes: Sequence[Node]) -> Supply:
    """Add up the nodes. Only the scheduler knows what is free on them: nodes do not report it."""
    amounts = [(node, amount(node, demand.device)) for node in nodes]
    closed: Counter[str] = Counter()
    usable = suitable = lacking = 0
    for node, has in amounts:
        barrier = next(barriers(node, demand.spec), None)
        if has < max(demand.count, 1):
            lacking += barrier is None
        elif barrier is None:
            usable += has
            suitable += 1
        else:
            closed[barrier] += 1
    return Supply(
        total=sum(has for _, has in amounts),
        largest=max((has for _, has in amounts), default=0),
        open=usable,
        nodes=suitable + closed.total(),
        suitable=suitable,
        lacking=lacking,
        barriers=tuple(f"{count} {words}" for words, count in sorted(closed.items(), key=lambda at: (-at[1], at[0]))),
    )


def demand_of(plan: Plan, among: Collection[str]) -> Demand | None:
    """Return the demand for the device that counts: the runtime's, unless only others are `among` these resources.

    None when the pod has no limit for one.
    """
    limits = (plan.serving.get("resources") or {}).get("limits", {})
    own = plan.runtime.spec.accelerator.resource_name
    devices = [resource for resource in among if "/" in resource]
    if own in limits and (own in devices or not devices):
        wanted = own
    else:
        wanted = next((resource for resource in devices if resource in limits), "")
    return Demand(wanted, _whole_number(limits.get(wanted)), plan.pod["spec"]) if wanted else None


def _whole_number(amount: Any) -> int:
    text = str(amount)
    return int(text) if text.isdecimal() else 1


def amount(node: Node, resource: str) -> int:
    """Return how much a node has of a counted resource, in use or not."""
    text = node.status.allocatable.get(resource, "0")
    return int(text) if text.isdecimal() else 0


def required_terms(spec: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the terms of which a node has to match one, by a pod's spec."""
    affinity = (spec.get("affinity") or {}).get("nodeAffinity", {})
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    return required.get("nodeSelectorTerms") or ()


def barriers(node: Node, spec: Mapping[str, Any]) -> Iterator[str]:
    """Return why a node may not run the pod, in words that follow a number of nodes."""
    labels = node.metadata.labels
    selector = spec.get("nodeSelector") or {}
    missing = [f"{key}={value}" for key, value in sorted(selector.items()) if labels.get(key) != value]
    if missing:
        yield f"without the label {missing[0]}"
    terms = required_terms(spec)
    if terms and not any(_matches_term(term, labels) for term in terms):
        yield "outside the runtime's node requirements"
    if node.spec.unschedulable:
        yield "cordoned"
    for taint in node.spec.taints:
        if taint.effect in _HARD_EFFECTS and not _tolerated(taint, spec.get("tolerations") or []):
            yield _spelled(taint)


def _spelled(taint: Taint) -> str:
    if taint.key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        return "not ready"
    value = f"={taint.value}" if taint.value else ""
    return f"with the taint {taint.key}{value}:{taint.effect}"


def _tolerated(taint: Taint, tolerations: Sequence[Mapping[str, Any]]) -> bool:
    return any(
        toleration.get("effect") in (None, "", taint.effect)
        and (
            toleration.get("key") in (None, "", taint.key)
            if toleration.get("operator") == "Exists"
            else toleration.get("key") == taint.key and toleration.get("value", "") == taint.value
        )
        for toleration in tolerations
    )


def _matches_term(term: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    return all(_matches(expression, labels) for expression in term.get("matchExpressions") or [])


def _matches(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value = labels.get(expression["key"])
    values = expression.get("values") or []
    match expression.get("operator"):
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt" as operator:
            if value is None or not value.lstrip("-").isdecimal() or not values:
                return False
            return int(value) > int(values[0]) if operator == "Gt" else int(value) < int(values[0])
        case _:
            return True
