"""`hearth operator`: what runs in a cluster and turns LLMServices into objects."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from hearth.cli.render import GatewayPodText, ScalerChoice, read_gateway_pod


class LogFormatChoice(StrEnum):
    text = "text"
    json = "json"


def operator(
    *,
    scaler: Annotated[
        ScalerChoice, typer.Option("--scaler", help="How KEDA learns of demand: told at once, or by asking every 5 s.")
    ] = ScalerChoice.push,
    gateway_image: Annotated[
        str | None, typer.Option("--gateway-image", help="Image of the gateways.", show_default="that of this version")
    ] = None,
    gateway_replicas: Annotated[int, typer.Option("--gateway-replicas", min=1, help="Replicas of every gateway.")] = 1,
    gateway_pod: GatewayPodText = "{}",
    leader_elect: Annotated[
        bool, typer.Option("--leader-elect", help="Work only while holding a Lease; for more than one replica.")
    ] = False,
    listen: Annotated[
        str,
        typer.Option("--listen", metavar="[HOST]:PORT", help="Where /healthz, /readyz and /metrics are answered."),
    ] = ":8081",
    log_format: Annotated[
        LogFormatChoice, typer.Option("--log-format", help="Form of the log.")
    ] = LogFormatChoice.text,
    workers: Annotated[int, typer.Option("--workers", min=1, max=64, help="Services reconciled at once.")] = 4,
) -> None:
    """Run the operator for the cluster of this pod, or of the current context of KUBECONFIG.

    It applies the objects of every LLMService and keeps them so; SIGTERM ends it within seconds.
    """
    import asyncio
    import os

    import uvloop

    from hearth.api import HearthError
    from hearth.planning import DEFAULT_OPTIONS, PlanOptions
    from hearth.plugins import VendorHost

    try:
        from hearth.operator.logs import set_up_logs
        from hearth.operator.main import Options, run
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] not in ("kopf", "aiohttp"):
            raise
        raise HearthError(f"the operator needs {exc.name}", "pip install 'hearth-serving[operator]'") from exc

    host, port = parse_listen(listen)
    set_up_logs(log_format.value)
    options = Options(
        plan=PlanOptions(
            scaler=scaler.value,
            gateway_image=gateway_image or DEFAULT_OPTIONS.gateway_image,
            gateway_replicas=gateway_replicas,
            gateway_pod=read_gateway_pod(gateway_pod),
        ),
        host=host,
        port=port,
        leader_elect=leader_elect,
        workers=workers,
        identity=os.environ.get("POD_NAME") or f"hearth-operator-{os.getpid()}",
        namespace=os.environ.get("POD_NAMESPACE") or "hearth-system",
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(run(options, VendorHost.load(), os.environ))
    raise SystemExit(code)


def parse_listen(text: str) -> tuple[str | None, int]:
    """(host, port) of HOST:PORT, or of :PORT or PORT for every address (None). Raises typer.BadParameter."""
    host, _, number = text.rpartition(":")
    if not (number.isascii() and number.isdigit() and int(number) < 65536):
        raise typer.BadParameter(f"{text!r} is not [HOST]:PORT, such as :8081", param_hint="--listen")
    return host.strip("[]") or None, int(number)
