"""The services of one namespace together: the gateway that they share, and what they take from each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hearth.api import LLMService
from hearth.planning.core_services import gateway_service
from hearth.planning.errors import PlanningError
from hearth.planning.gateway.config import LARGEST_DOCUMENT, written
from hearth.planning.gateway.entry import own_aliases
from hearth.planning.gateway.gateway import shared_gateway
from hearth.planning.gateway.objects import gateway_objects
from hearth.planning.names import Identity, identity
from hearth.planning.options import DEFAULT_OPTIONS, PlanOptions
from hearth.planning.plan import Plan


@dataclass(frozen=True, slots=True)
class NamespacePlan:
    """What the services of a namespace share.

    `objects` are those of the shared gateway in the order of applying; none when no service uses it. `refused` says, by
    the service's name, why its objects must not be applied beside those of the others; `warnings` what it does not get.
    """

    namespace: str
    objects: tuple[Mapping[str, Any], ...]
    refused: Mapping[str, PlanningError]
    warnings: Mapping[str, tuple[str, ...]]


def plan_namespace(
    namespace: str,
    plans: Sequence[Plan],
    options: PlanOptions = DEFAULT_OPTIONS,
    *,
    kept: Sequence[Mapping[str, Any]] = (),
) -> NamespacePlan:
    """Plan what the services of a namespace share. Pure; the order of the plans does not matter.

    `kept` are entries that the gateway has now, of services that cannot be planned at the moment (`gateway_entries`):
    what runs of them goes on, and so does the way there.

    Where two services want the same, the older one gets it (`metadata.creationTimestamp`, then the name), so that a new
    service takes nothing from one that runs.
    """
    ordered = sorted(plans, key=_seniority)
    refused = dict(_taken_names(ordered))
    shared = [
        plan
        for plan in ordered
        if plan.service.spec.endpoint.gateway == "shared" and plan.service.metadata.name not in refused
    ]
    planned = {plan.service.metadata.name for plan in plans}
    entries = {entry["name"]: entry for entry in kept if entry["name"] not in planned}
    warnings: dict[str, tuple[str, ...]] = {}
    owners = {name: name for name in (*entries, *(plan.service.metadata.name for plan in shared))}
    for name, entry in entries.items():
        entries[name] = _only(entry, [at for at in entry.get("aliases", ()) if owners.setdefault(at, name) == name])
    size = sum(_room(entry) for entry in entries.values())
    for plan in shared:
        name = plan.service.metadata.name
        entry, lost = _without_taken_aliases(plan, owners)
        more = _room(entry)
        if size + more > LARGEST_DOCUMENT:
            refused[name] = _too_many(namespace)
            continue
        size += more
        entries[name] = entry
        if lost:
            warnings[name] = lost
    secrets = [
        secret.name
        for plan in shared
        if plan.service.metadata.name in entries
        for secret in plan.service.spec.image_pull_secrets
    ]
    gateway = shared_gateway(namespace, secrets)
    objects = (
        (
            *gateway_objects(gateway, [entries[name] for name in sorted(entries)], options),
            gateway_service(gateway),
        )
        if entries
        else ()
    )
    return NamespacePlan(namespace, objects, refused, warnings)


def _room(entry: Mapping[str, Any]) -> int:
    return len(written(entry)) + len("  ,\n")


def _seniority(plan: Plan) -> tuple[str, str]:
    metadata = plan.service.metadata
    return metadata.creation_timestamp or "", metadata.name


def _taken_names(ordered: Sequence[Plan]) -> Iterator[tuple[str, PlanningError]]:
    """`foo-backend` may be a service, and is also the name of a Service of `foo`."""
    owners: dict[Identity, LLMService] = {}
    for plan in ordered:
        name = plan.service.metadata.name
        own = [identity(item) for item in plan.objects]
        taken = next((found for found in own if found in owners), None)
        if taken is None:
            owners.update(dict.fromkeys(own, plan.service))
            continue
        yield (
            name,
            PlanningError(
                "NameTaken",
                f"metadata.name: {name!r} needs the {taken[0]} {taken[1]!r}, which is that of LLMService "
                f"{owners[taken].metadata.name!r}",
                "choose another name; clients can use any other one listed in spec.endpoint.aliases",
            ),
        )


def _without_taken_aliases(plan: Plan, owners: dict[str, str]) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """Return the entry with the aliases that are free, which are then taken, and a warning for each other one."""
    name = plan.service.metadata.name
    free: list[str] = []
    lost: list[str] = []
    for alias in own_aliases(plan.service):
        owner = owners.setdefault(alias, name)
        if owner == name:
            free.append(alias)
        else:
            lost.append(f"spec.endpoint.aliases: {alias!r} has no effect: it leads to LLMService {owner!r}")
    if not lost:
        return plan.gateway, ()
    return _only(plan.gateway, free), tuple(lost)


def _only(entry: Mapping[str, Any], aliases: Sequence[str]) -> Mapping[str, Any]:
    rest = {key: value for key, value in entry.items() if key != "aliases"}
    return rest | {"aliases": list(aliases)} if aliases else rest


def _too_many(namespace: str) -> PlanningError:
    return PlanningError(
        "TooManyServices",
        f"metadata.namespace: the gateway of {namespace!r} has as many services as its ConfigMap can hold",
        "put the service into another namespace, or give it a gateway of its own (spec.endpoint.gateway: dedicated)",
    )
