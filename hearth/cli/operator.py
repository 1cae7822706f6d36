"""`hearth operator`: the controller which turns LLMServices into Kubernetes objects."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from hearth.cli.listen import read_listen
from hearth.cli.plan_options import (
    GatewayImageOption,
    GatewayPodOption,
    GatewayReplicasOption,
    ImageRegistryOption,
    ScalerChoice,
    ScalerOption,
    plan_options,
)


class LogFormatChoice(StrEnum):
    """Formats of the log."""

    text = "text"
    json = "json"


def operator(
    *,
    scaler: ScalerOption = ScalerChoice.push,
    image_registry: ImageRegistryOption = "",
    gateway_image: GatewayImageOption = None,
    gateway_replicas: GatewayReplicasOption = 1,
    gateway_pod: GatewayPodOption = "{}",
    leader_elect: Annotated[
        bool,
        typer.Option("--leader-elect", help="Reconcile only while holding a Lease; required for several replicas."),
    ] = False,
    listen: Annotated[
        str,
        typer.Option("--listen", metavar="[HOST]:PORT", help="Address of /healthz, /readyz and /metrics."),
    ] = ":8081",
    log_format: Annotated[LogFormatChoice, typer.Option("--log-format", help="Log format.")] = LogFormatChoice.text,
    workers: Annotated[
        int, typer.Option("--workers", min=1, max=64, help="Maximum number of concurrent reconciliations.")
    ] = 4,
) -> None:
    """Run the Kubernetes operator.

    It applies the objects of every LLMService and keeps them up to date, in the cluster of this pod or of the current
    kubeconfig context. SIGTERM stops it within seconds.
    """
    import asyncio
    import os

    import uvloop

    from hearth.api import HearthError
    from hearth.plugins import VendorHost

    try:
        from hearth.operator.logs import set_up_logs
        from hearth.operator.main import Options, run
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] not in ("kopf", "aiohttp"):
            raise
        raise HearthError(f"the operator needs {exc.name}", "pip install 'hearth-serving[operator]'") from exc

    address = read_listen(listen)
    set_up_logs(log_format.value)
    options = Options(
        plan=plan_options(scaler, image_registry, gateway_image, gateway_replicas, gateway_pod),
        host=address.host or None,
        port=address.port,
        leader_elect=leader_elect,
        workers=workers,
        identity=os.environ.get("POD_NAME") or f"hearth-operator-{os.getpid()}",
        namespace=os.environ.get("POD_NAMESPACE") or "hearth-system",
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(run(options, VendorHost.load(), os.environ))
    raise SystemExit(code)
