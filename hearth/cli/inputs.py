"""What most commands start from: the manifests of `-f`, the plugins, and a plan for every service."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hearth.api import LLMService, ManifestError, Manifests
    from hearth.planning import NamespacePlan, Plan, PlanOptions, Target
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
    """The plans in the order of the files, the vendors that they were made with, and what namespaces share.

    There are no namespaces on one machine.
    """

    plans: tuple[Plan, ...]
    host: VendorHost
    namespaces: tuple[NamespacePlan, ...]

    def of(self, namespace: str) -> Iterator[Plan]:
        """The plans of one namespace."""
        return (plan for plan in self.plans if plan.service.metadata.namespace == namespace)

    def warnings(self) -> Iterator[tuple[str, str]]:
        """(namespace/name, text) of every warning."""
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
    from hearth.api import ManifestError, ManifestErrors, load_manifests
    from hearth.planning import (
        DEFAULT_OPTIONS,
        PlanningError,
        available_runtimes,
        make_plan,
        plan_namespace,
    )
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
        key = service.metadata.namespace, service.metadata.name
        if key in read:
            faults.append(_fault(manifests, manifest, service, "there is another of this name", "rename one of them"))
            continue
        read[key] = manifest
        try:
            plans.append(make_plan(service, runtimes=runtimes, host=host, target=target, options=options))
        except PlanningError as exc:
            faults.append(_fault(manifests, manifest, service, exc.message, exc.remedy))
    namespaces: list[NamespacePlan] = []
    for name in dict.fromkeys(plan.service.metadata.namespace for plan in plans) if target == "cluster" else ():
        together = [plan for plan in plans if plan.service.metadata.namespace == name]
        namespaces.append(plan_namespace(name, together, options))
        for plan in together:
            refusal = namespaces[-1].refused.get(plan.service.metadata.name)
            if refusal is not None:
                manifest = read[name, plan.service.metadata.name]
                faults.append(_fault(manifests, manifest, plan.service, refusal.message, refusal.remedy))
    if not manifests.services:
        files_read = ", ".join(manifests.files)
        faults.append(ManifestError(files_read, 0, 0, "", None, "no LLMService is in it", "write one, or add its file"))
    if faults:
        raise ManifestErrors(faults)
    if target == "local":
        from hearth.local.configuration import check_models, check_names

        check_names(manifests)
        check_models(plans, manifests)
    return Planned(tuple(plans), host, tuple(namespaces))


def _placed(service: LLMService, namespace: str | None) -> LLMService:
    """The service in `namespace`, unless it names one itself."""
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
