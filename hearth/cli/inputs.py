"""Inputs of commands: the manifests of `-f`, the plugins, and a plan for every service."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hearth.api import LLMService, ManifestError, Manifests
    from hearth.planning import NamespacePlan, Plan, PlanningError, PlanOptions, Target
    from hearth.plugins import VendorHost

Files = Annotated[
    list[Path],
    typer.Option(
        "-f",
        "--file",
        metavar="FILE",
        help="Manifest file or directory, or - for standard input; may be repeated.",
        show_default=False,
        allow_dash=True,
    ),
]


@dataclass(frozen=True, slots=True)
class Planned:
    """Plans in the order of the files, the vendors that they were made with, and what each namespace shares.

    Local mode has no namespaces.
    """

    plans: tuple[Plan, ...]
    host: VendorHost
    namespaces: tuple[NamespacePlan, ...]

    def of(self, namespace: str) -> Iterator[Plan]:
        """Yield the plans of one namespace."""
        return (plan for plan in self.plans if plan.service.metadata.namespace == namespace)

    def warnings(self) -> Iterator[tuple[str, str]]:
        """Yield every warning as (namespace/name, text)."""
        shared = {namespace.namespace: namespace.warnings for namespace in self.namespaces}
        for plan in self.plans:
            metadata = plan.service.metadata
            for text in (*plan.warnings, *shared.get(metadata.namespace, {}).get(metadata.name, ())):
                yield f"{metadata.namespace}/{metadata.name}", text


def plan_files(
    files: list[Path], target: Target, *, options: PlanOptions | None = None, namespace: str | None = None
) -> Planned:
    """Plan every service of the manifests; `namespace` is for those that name none.

    Raises ManifestErrors with every fault of the files, or of all services that cannot be planned, and PluginError.
    """
    from hearth.api import ManifestErrors, load_manifests
    from hearth.planning import DEFAULT_OPTIONS, PlanningError, available_runtimes, make_plan
    from hearth.plugins import VendorHost

    manifests = load_manifests(files)
    host = VendorHost.load()
    options = options or DEFAULT_OPTIONS
    runtimes = available_runtimes(manifests.runtimes, host)
    plans: list[Plan] = []
    read: dict[tuple[str, str], LLMService] = {}
    faults: list[ManifestError] = []
    for manifest in manifests.services:
        service = _placed(manifest, namespace)
        if _key(service) in read:
            faults.append(_fault(manifests, manifest, service, "another service has this name", "rename one of them"))
            continue
        read[_key(service)] = manifest
        try:
            plans.append(make_plan(service, runtimes=runtimes, host=host, target=target, options=options))
        except PlanningError as exc:
            faults.append(_fault(manifests, manifest, service, exc.message, exc.remedy))
    namespaces = _namespaces(plans, options) if target == "cluster" else ()
    for plan, refusal in _refusals(plans, namespaces):
        faults.append(_fault(manifests, read[_key(plan.service)], plan.service, refusal.message, refusal.remedy))
    if not manifests.services:
        faults.append(_empty(manifests))
    if faults:
        raise ManifestErrors(faults)
    if target == "local":
        from hearth.local.configuration import check_models, check_names

        check_names(manifests)
        check_models(plans, manifests)
    return Planned(tuple(plans), host, namespaces)


def _namespaces(plans: Sequence[Plan], options: PlanOptions) -> tuple[NamespacePlan, ...]:
    from hearth.planning import plan_namespace

    together: dict[str, list[Plan]] = {}
    for plan in plans:
        together.setdefault(plan.service.metadata.namespace, []).append(plan)
    return tuple(plan_namespace(name, inside, options) for name, inside in together.items())


def _refusals(plans: Sequence[Plan], namespaces: Sequence[NamespacePlan]) -> Iterator[tuple[Plan, PlanningError]]:
    refused = {namespace.namespace: namespace.refused for namespace in namespaces}
    for plan in plans:
        refusal = refused.get(plan.service.metadata.namespace, {}).get(plan.service.metadata.name)
        if refusal is not None:
            yield plan, refusal


def _key(service: LLMService) -> tuple[str, str]:
    return service.metadata.namespace, service.metadata.name


def _placed(service: LLMService, namespace: str | None) -> LLMService:
    """Return the service in `namespace`, unless it names one itself."""
    if namespace is None or "namespace" in service.metadata.model_fields_set:
        return service
    from hearth.api import LLMService

    return LLMService.model_validate(
        {
            **service.to_wire(defaults=False),
            "metadata": {**service.metadata.to_wire(defaults=False), "namespace": namespace},
        }
    )


def _fault(manifests: Manifests, manifest: LLMService, service: LLMService, message: str, remedy: str) -> ManifestError:
    from hearth.api import ManifestError

    origin = manifests.origin(manifest)
    return ManifestError(
        file=origin.file if origin else service.metadata.name,
        document=origin.document if origin else 1,
        line=origin.line if origin else 0,
        field="",
        value=None,
        message=f"{service.metadata.namespace}/{service.metadata.name}: {message}",
        remedy=remedy,
    )


def _empty(manifests: Manifests) -> ManifestError:
    from hearth.api import ManifestError

    return ManifestError(
        ", ".join(manifests.files), 0, 0, "", None, "contains no LLMService", "write one, or add its file"
    )
