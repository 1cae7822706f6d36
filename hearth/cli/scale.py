"""`hearth scale` and `hearth wake`: saying by hand what demand would say."""

from __future__ import annotations

from typing import Annotated

import typer

from hearth.cli.state import StateOption, state_dir

Name = Annotated[str, typer.Argument(help="Name of the service.", show_default=False)]


def scale(
    *,
    name: Name,
    replicas: Annotated[
        int, typer.Option("--replicas", min=0, help="At least this many; 0 puts it to sleep now.", show_default=False)
    ],
    duration: Annotated[
        str | None,
        typer.Option(
            "--for",
            metavar="DURATION",
            help="How long, such as 10m; default: the service's scaleDownStabilization.",
            show_default=False,
        ),
    ] = None,
    state: StateOption = None,
) -> None:
    """Keep at least N replicas for a while, within the manifest's min and max; demand may still ask for more.

    With 0 the service goes to sleep as soon as it has no request, without waiting for its cooldown.
    """
    from hearth.api import parse_duration
    from hearth.local.remote import call

    seconds = None
    if duration is not None:
        try:
            seconds = parse_duration(duration).seconds
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--for") from error
    answer = call(state_dir(state), {"do": "scale", "name": name, "replicas": replicas, "seconds": seconds})
    typer.echo(f"{name} {answer}")


def wake(
    *,
    name: Name,
    wait: Annotated[bool, typer.Option("--wait", help="Return when it is ready; fail when it cannot be.")] = False,
    timeout: Annotated[str, typer.Option("--timeout", metavar="DURATION", help="Longest --wait.")] = "10m",
    state: StateOption = None,
) -> None:
    """Start a sleeping service as a request would, so that the next one finds it warm."""
    from hearth.api import HearthError, parse_duration
    from hearth.local.remote import call

    try:
        seconds = parse_duration(timeout).seconds
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--timeout") from error
    request = {"do": "wake", "name": name, "wait": wait}
    view = call(state_dir(state), request, timeout=seconds if wait else 10.0)
    if not wait:
        typer.echo(f"{name} is waking")
        return
    if view["phase"] != "Ready":
        raise HearthError(f"{name} is {view['phase']}: {view['reason'] or 'it was not wanted any more'}", "")
    typer.echo(f"{name} is ready")
