"""`hearth runtimes`: which engines there are for which chips, where they come from, and the pods that they give."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hearth.api import InferenceRuntime, LLMService

SUPPORT_ANNOTATION = "serving.hearth.dev/support"
"""`validated`: ran on the chip; `documented`: every value has a source; `unverified`: some are inferred."""

SAMPLE = {
    "apiVersion": "serving.hearth.dev/v1alpha1",
    "kind": "LLMService",
    "metadata": {"name": "sample"},
    "spec": {"model": {"source": {"uri": "hf://Qwen/Qwen3-8B"}}, "resources": {"memory": "64Gi"}},
}
"""What `hearth runtimes render` renders when no service is given."""

_COLUMNS = ("NAME", "VENDOR", "PRIORITY", "SUPPORT", "ORIGIN")

OptionalFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "-f",
        "--file",
        metavar="FILE",
        help="Manifest file or directory with runtimes of your own, or - for standard input; may be repeated.",
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
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """List the runtimes that plugins ship and those of the files: vendor, priority, support level, origin."""
    known = _Known(files)
    rows = [known.row(runtime) for runtime in known.runtimes]
    if as_json:
        import json

        keys = [column.lower() for column in _COLUMNS]
        typer.echo(json.dumps([dict(zip(keys, row, strict=True)) for row in rows], indent=2))
    else:
        texts = [[str(cell) for cell in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(_COLUMNS, *texts, strict=True)]
        for line in (_COLUMNS, *texts):
            cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            typer.echo("   ".join(cells).rstrip())
    for vendor in known.host.vendors:
        if vendor.state == "error":
            typer.echo(f"{vendor.name}: {vendor.error}", err=True)


@app.command("show")
def show(name: Name, *, files: OptionalFiles = None) -> None:
    """Print a runtime as it was shipped, with the comments that say where each value comes from."""
    known = _Known(files)
    text = known.text(known.named(name))
    typer.echo(text if text.endswith("\n") else f"{text}\n", nl=False)


@app.command("render")
def render(name: Name, *, files: OptionalFiles = None) -> None:
    """Print the pod that a runtime gives: for every LLMService of the files, or for a sample. Warnings go to stderr."""
    import yaml

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
    typer.echo(yaml.safe_dump_all(pods, sort_keys=False, allow_unicode=True, width=120), nl=False)


class _Known:
    """The runtimes of the files and of the plugins, with their origins."""

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

    def text(self, runtime: InferenceRuntime) -> str:
        """The file as it is when it holds nothing else, else the object written anew."""
        origin = self.manifests.origin(runtime)
        if origin is None:
            return self._packaged[runtime.metadata.name].text
        in_the_file = [place for place in self.manifests.origins.values() if place.file == origin.file]
        alone = len(in_the_file) == 1
        if alone and Path(origin.file).is_file():
            return Path(origin.file).read_text(encoding="utf-8")
        import yaml

        return yaml.safe_dump(runtime.to_wire(defaults=False), sort_keys=False, allow_unicode=True, width=120)

    def _origin(self, runtime: InferenceRuntime) -> str:
        origin = self.manifests.origin(runtime)
        return origin.file if origin else self._packaged[runtime.metadata.name].origin


def _pinned(service: LLMService, name: str) -> LLMService:
    """The service as if it named the runtime: what it selects otherwise does not matter here."""
    runtime = service.spec.runtime.model_copy(update={"name": name, "selector": type(service.spec.runtime.selector)()})
    return service.model_copy(update={"spec": service.spec.model_copy(update={"runtime": runtime})})
