"""What most commands start from: the manifests of `-f`, the plugins, and a plan for every service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hearth.planning import Plan, Target
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


def plan_files(files: list[Path], target: Target) -> tuple[tuple[Plan, ...], VendorHost]:
    """Plan every service of the manifests; return the plans and the vendors that they were made with.

    Raises ManifestErrors with every fault of the files, or of all services that cannot be planned, and PluginError.
    """
    from hearth.api import ManifestError, ManifestErrors, load_manifests
    from hearth.planning import PlanningError, available_runtimes, make_plan
    from hearth.plugins import VendorHost

    manifests = load_manifests(files)
    host = VendorHost.load()
    runtimes = available_runtimes(manifests.runtimes, host)
    plans: list[Plan] = []
    faults: list[ManifestError] = []
    for service in manifests.services:
        try:
            plans.append(make_plan(service, runtimes=runtimes, host=host, target=target))
        except PlanningError as exc:
            origin = manifests.origin(service)
            faults.append(
                ManifestError(
                    file=origin.file if origin else service.metadata.name,
                    document=origin.document if origin else 1,
                    line=origin.line if origin else 0,
                    field="",
                    value=None,
                    message=f"{service.metadata.namespace}/{service.metadata.name}: {exc.message}",
                    remedy=exc.remedy,
                )
            )
    if not manifests.services:
        files_read = ", ".join(manifests.files)
        faults.append(ManifestError(files_read, 0, 0, "", None, "no LLMService is in it", "write one, or add its file"))
    if faults:
        raise ManifestErrors(faults)
    return tuple(plans), host
