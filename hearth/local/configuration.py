"""Configuration: what the manifest files ask the supervisor to run, and whether the files changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hearth.api import HearthError, LLMService, ManifestError, ManifestErrors, Manifests, load_manifests
from hearth.local.views import Unplanned
from hearth.local.workload import Workload, workload
from hearth.planning import (
    LocalInventory,
    Plan,
    available_runtimes,
    local_inventory_sources,
    make_plan,
)
from hearth.plugins import VendorHost
from hearth_gateway import ConfigError, parse_services

STDIN = "-"


@dataclass(frozen=True, slots=True)
class Configuration:
    """Plans of the manifests. `unplanned` are services that cannot run here, by name; their errors have file and line."""

    plans: tuple[Plan, ...]
    workloads: tuple[Workload, ...]
    inventories: tuple[LocalInventory, ...]
    unplanned: Mapping[str, Unplanned]

    @property
    def warnings(self) -> tuple[tuple[str, str], ...]:
        """Every warning of the planner, as (service, text)."""
        return tuple((plan.service.metadata.name, text) for plan in self.plans for text in plan.warnings)


def load_configuration(files: Sequence[Path], host: VendorHost) -> Configuration:
    """Read and plan. Raises ManifestErrors when a file is wrong, names collide, or no service at all can run."""
    manifests = load_manifests(files)
    check_names(manifests)
    runtimes = available_runtimes(manifests.runtimes, host)
    plans: list[Plan] = []
    workloads: list[Workload] = []
    unplanned: dict[str, Unplanned] = {}
    for service in manifests.services:
        try:
            plan = make_plan(service, runtimes=runtimes, host=host, target="local")
            workloads.append(workload(plan, host))
            plans.append(plan)
        except HearthError as error:
            unplanned[service.metadata.name] = Unplanned(
                service.metadata.namespace, _located(manifests, service, error)
            )
    if not plans:
        names = ", ".join(manifests.files) or "the files"
        none = ManifestError(names, 0, 0, "", None, "contains no LLMService", "write one, or add its file with -f")
        raise ManifestErrors(tuple(one.error for one in unplanned.values()) or (none,))
    check_models(plans, manifests)
    return Configuration(tuple(plans), tuple(workloads), local_inventory_sources(plans, host=host), unplanned)


def check_names(manifests: Manifests) -> None:
    """Check that no two services share a name: one machine has no namespaces. Raises ManifestErrors."""
    first: dict[str, LLMService] = {}
    errors = []
    for service in manifests.services:
        other = first.setdefault(service.metadata.name, service)
        if other is not service:
            problem = (
                f"{service.metadata.name!r} is also the name of a service in namespace {other.metadata.namespace!r}"
            )
            error = HearthError(problem, "rename one: on one machine clients choose a service by its name alone")
            errors.append(_located(manifests, service, error))
    if errors:
        raise ManifestErrors(errors)


def check_models(plans: Sequence[Plan], manifests: Manifests) -> None:
    """Check that one gateway can serve the plans together; two services cannot share an alias. Raises ManifestErrors."""
    try:
        parse_services({"services": [plan.gateway for plan in plans]})
    except ConfigError as error:
        place = ", ".join(manifests.files)
        faults = [ManifestError(place, 0, 0, "", None, fault.message, fault.remedy) for fault in error.faults]
        raise ManifestErrors(faults) from error


def with_kept(new: Configuration, running: Configuration) -> Configuration:
    """Return `new`, where a service that can no longer be planned keeps its running plan."""
    kept = [number for number, load in enumerate(running.workloads) if load.name in new.unplanned]
    plans = (*new.plans, *(running.plans[number] for number in kept))
    names = {running.workloads[number].name for number in kept}
    known = {inventory.vendor: inventory for inventory in (*running.inventories, *new.inventories)}
    vendors = {plan.vendor.name for plan in plans}
    return Configuration(
        plans=plans,
        workloads=(*new.workloads, *(running.workloads[number] for number in kept)),
        inventories=tuple(known[vendor] for vendor in sorted(vendors)),
        unplanned={name: one for name, one in new.unplanned.items() if name not in names},
    )


def signature(files: Iterable[Path]) -> object:
    """Return a value that differs when a file, or the content of a directory, has changed."""
    marks = []
    for path in files:
        try:
            inside = sorted(entry for entry in path.iterdir() if entry.suffix in (".yaml", ".yml"))
        except OSError:  # a file, or a directory that cannot be read now; what `stat` says tells them apart
            inside = []
        for file in (path, *inside):
            try:
                info = file.stat()
                marks.append((str(file), info.st_mtime_ns, info.st_size, info.st_ino))
            except OSError as error:
                marks.append((str(file), error.errno or 0, 0, 0))
    return tuple(marks)


def _located(manifests: Manifests, service: LLMService, error: HearthError) -> ManifestError:
    origin = manifests.origin(service)
    return ManifestError(
        file=origin.file if origin else "",
        document=origin.document if origin else 0,
        line=origin.line if origin else 0,
        field="",
        value=None,
        message=f"{service.metadata.name}: {error.message}",
        remedy=error.remedy,
    )
