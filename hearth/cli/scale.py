"""`hearth scale` and `hearth wake`: replicas by hand instead of by demand."""

from __future__ import annotations

from typing import Annotated

import typer

from hearth.cli.state import StateOption, state_dir

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the service.", show_default=False)]


def scale(
    *,
    name: Name,
    replicas: Annotated[
        int, typer.Option("--replicas", min=0, help="Minimum number of replicas; 0 scales to zero.", show_default=False)
    ],
    duration: Annotated[
        str | None,
        typer.Option(
            "--for",
            metavar="DURATION",
            help="How long the minimum holds, such as 10m; default: spec.scaling.scaleDownStabilization.",
            show_default=False,
        ),
    ] = None,
    state: StateOption = None,
) -> None:
    """Set a minimum number of replicas for a while. Demand may add more; spec.scaling.min and max still hold.

    With 0 the service scales to zero once idle, without waiting for its cooldown.
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
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the service is ready, or cannot become so.")] = False,
    timeout: Annotated[str, typer.Option("--timeout", metavar="DURATION", help="Maximum time to --wait.")] = "10m",
    state: StateOption = None,
) -> None:
    """Start a service that is scaled to zero. It starts as by a request, so that the next request finds it warm."""
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
        raise HearthError(f"{name} is {view['phase']}: {view['reason'] or 'demand ended before it became ready'}", "")
    typer.echo(f"{name} is ready")
