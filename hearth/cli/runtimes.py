"""`hearth runtimes`: the known InferenceRuntimes, their origins, and the pods that follow from them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hearth.cli.output import (
    ManifestOutput,
    ManifestOutputOption,
    Output,
    OutputOption,
    write_document,
    write_manifests,
)
from hearth.cli.plugins import report_unusable
from hearth.cli.table import write_table

if TYPE_CHECKING:
    from hearth.api import InferenceRuntime, LLMService

SUPPORT_ANNOTATION = "serving.hearth.dev/support"
"""Annotation of runtimes. `validated`: ran on the chip; `documented`: every value has a source; `unverified`: some are
inferred."""

SAMPLE = {
    "apiVersion": "serving.hearth.dev/v1alpha1",
    "kind": "LLMService",
    "metadata": {"name": "sample"},
    "spec": {"model": {"source": {"uri": "hf://Qwen/Qwen3-8B"}}, "resources": {"memory": "64Gi"}},
}
"""The service of `hearth runtimes render` when none is given."""

_COLUMNS = ("NAME", "VENDOR", "PRIORITY", "SUPPORT", "ORIGIN")

OptionalFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "-f",
        "--file",
        metavar="FILE",
        help="Manifest file or directory with InferenceRuntimes of your own, or - for standard input; may be repeated.",
        show_default=False,
        allow_dash=True,
    ),
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the runtime.", show_default=False)]

app = typer.Typer(
    help="List, show and render InferenceRuntimes.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS = ("list", "show", "render")


@app.command("list")
def list_runtimes(
    *,
    files: OptionalFiles = None,
    output: OutputOption = Output.table,
) -> None:
    """List the InferenceRuntimes of plugins and files."""
    known = _Known(files)
    rows = [known.row(runtime) for runtime in known.runtimes]
    if output is Output.table:
        write_table(_COLUMNS, [[str(cell) for cell in row] for row in rows])
    else:
        keys = [column.lower() for column in _COLUMNS]
        write_document([dict(zip(keys, row, strict=True)) for row in rows], output)
    report_unusable(known.host.vendors)


@app.command("show")
def show(name: Name, *, files: OptionalFiles = None, output: ManifestOutputOption = ManifestOutput.yaml) -> None:
    """Print an InferenceRuntime. As YAML it has the comments that name the source of each value."""
    known = _Known(files)
    runtime = known.named(name)
    if output is ManifestOutput.yaml and (text := known.text(runtime)) is not None:
        typer.echo(text if text.endswith("\n") else f"{text}\n", nl=False)
    else:
        write_manifests([runtime.to_wire(defaults=False)], output)


@app.command("render")
def render(name: Name, *, files: OptionalFiles = None, output: ManifestOutputOption = ManifestOutput.yaml) -> None:
    """Print the pod that follows from a runtime.

    There is one for every LLMService of the files, or else for a sample service. Warnings go to stderr.
    """
    from hearth.api import LLMService
    from hearth.planning import make_plan

    known = _Known(files)
    runtime = known.named(name)
    pods = []
    for service in known.manifests.services or (LLMService.model_validate(SAMPLE),):
        plan = make_plan(_pinned(service, name), runtimes=(runtime,), host=known.host, target="cluster")
        metadata = {"name": service.metadata.name, "namespace": service.metadata.namespace, **plan.pod["metadata"]}
        pods.append({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": plan.pod["spec"]})
        for warning in plan.warnings:
            typer.echo(f"warning: {service.metadata.namespace}/{service.metadata.name}: {warning}", err=True)
    write_manifests(pods, output)


class _Known:
    """Runtimes of the files and of the plugins, with their origins."""

    def __init__(self, files: Sequence[Path] | None) -> None:
        from hearth.api import Manifests, load_manifests
        from hearth.planning import available_runtimes
        from hearth.plugins import VendorHost

        self.manifests = load_manifests(files) if files else Manifests((), ())
        self.host = VendorHost.load()
        self.runtimes = available_runtimes(self.manifests.runtimes, self.host)
        self._packaged = {packaged.manifest.metadata.name: packaged for packaged in self.host.runtimes()}

    def named(self, name: str) -> InferenceRuntime:
        from hearth.planning import named_runtime

        return named_runtime(name, self.runtimes, field="NAME")

    def row(self, runtime: InferenceRuntime) -> tuple[str, str, int, str, str]:
        support = runtime.metadata.annotations.get(SUPPORT_ANNOTATION, "-")
        return runtime.metadata.name, runtime.spec.vendor, runtime.spec.priority, support, self._origin(runtime)

    def text(self, runtime: InferenceRuntime) -> str | None:
        """Return the file of a runtime, comments included, or None when it holds other objects or cannot be reread."""
        origin = self.manifests.origin(runtime)
        if origin is None:
            return self._packaged[runtime.metadata.name].text
        in_the_file = [place for place in self.manifests.origins.values() if place.file == origin.file]
        alone = len(in_the_file) == 1 and Path(origin.file).is_file()
        return Path(origin.file).read_text(encoding="utf-8") if alone else None

    def _origin(self, runtime: InferenceRuntime) -> str:
        origin = self.manifests.origin(runtime)
        return origin.file if origin else self._packaged[runtime.metadata.name].origin


def _pinned(service: LLMService, name: str) -> LLMService:
    """Return the service as if it named the runtime, whatever it selects."""
    runtime = service.spec.runtime.model_copy(update={"name": name, "selector": type(service.spec.runtime.selector)()})
    return service.model_copy(update={"spec": service.spec.model_copy(update={"runtime": runtime})})
