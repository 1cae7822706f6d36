"""The gateway alone: with a services file that it reads again when it changes, or as a replica in a cluster."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Protocol

import uvloop

from hearth_gateway.errors import ConfigError, GatewayError, ListenAddressError, MissingExtraError
from hearth_gateway.gateway import Gateway
from hearth_gateway.listen import ListenAddress, listen_error, parse_listen
from hearth_gateway.services_file import ServicesFile

log = logging.getLogger("hearth.gateway")


def main(argv: list[str] | None = None) -> int:
    """Run until a signal; return the exit code: 0 after a signal, 1 when it cannot run, 2 for bad arguments or services."""
    options = _parse(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        return uvloop.run(_serve(options))
    except GatewayError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 2 if isinstance(error, ConfigError) else 1
    except KeyboardInterrupt:
        return 130


class Source(Protocol):
    """The origin of services and backends."""

    async def start(self) -> None:
        """Follow changes. Raises GatewayError."""

    async def leave(self, grace: float, cut: asyncio.Event) -> None:
        """Prepare for the end, before the gateway stops accepting connections: at most `grace` seconds, or until `cut`."""

    async def stop(self) -> None:
        """Follow no more changes."""


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="hearth-gateway", description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--config", type=Path, metavar="FILE", help="services file, YAML or JSON")
    source.add_argument("--config-map", metavar="NAME", help="in a cluster: the ConfigMap with the services")
    parser.add_argument(
        "--listen",
        default="127.0.0.1:8080",
        type=_listen_address,
        metavar="HOST:PORT",
        help="default 127.0.0.1:8080; :PORT is every address; port 0: a free one",
    )
    parser.add_argument(
        "--grace", default=30.0, type=_seconds, metavar="SECONDS", help="for requests in flight at a stop, default 30"
    )
    cluster = parser.add_argument_group("in a cluster, with --config-map")
    cluster.add_argument("--peers", default="", metavar="SERVICE", help="the Service whose replicas share the demand")
    cluster.add_argument(
        "--scaler-listen",
        default=":9090",
        type=_listen_address,
        metavar="HOST:PORT",
        help="gRPC for KEDA and the other replicas, default :9090",
    )
    cluster.add_argument("--namespace", help="default: POD_NAMESPACE, else that of the pod's service account")
    cluster.add_argument("--api-server", metavar="URL", help="default: that of the pod")
    cluster.add_argument("--token-file", type=Path, metavar="FILE", help="default: that of the pod's service account")
    cluster.add_argument("--ca-file", type=Path, metavar="FILE", help="the CA of the API server's certificate")
    return parser.parse_args(argv)


def _listen_address(text: str) -> ListenAddress:
    try:
        return parse_listen(text)
    except ListenAddressError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time; give 0 or more seconds")
    return seconds


async def _serve(options: argparse.Namespace) -> int:
    gateway = Gateway()
    source = _replica(gateway, options) if options.config_map else ServicesFile(gateway, options.config)
    await _listen(gateway, options.listen)
    first, second = _ending_signals()
    await source.start()
    await first.wait()
    log.info("Stopping: waiting up to %g s for requests in flight; a second signal cuts them off", options.grace)
    await _stop(gateway, source, options.grace, second)
    return 0


async def _listen(gateway: Gateway, address: ListenAddress) -> None:
    try:
        await gateway.start(*address)
    except OSError as error:
        raise listen_error(address, error) from error
    count = len(gateway.services)
    found = address._replace(port=gateway.port)
    log.info("Listening on %s, %s", found, "1 service" if count == 1 else f"{count} services")


def _ending_signals() -> tuple[asyncio.Event, asyncio.Event]:
    """Return what the first signal to end sets, and what the second one does."""
    first, second = asyncio.Event(), asyncio.Event()
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # SIGHUP: its terminal was closed
        asyncio.get_running_loop().add_signal_handler(ending, lambda: (second if first.is_set() else first).set())
    return first, second


async def _stop(gateway: Gateway, source: Source, grace: float, cut: asyncio.Event) -> None:
    end = gateway.now() + grace
    await source.leave(grace, cut)
    stopping = asyncio.create_task(gateway.stop(max(0.0, end - gateway.now())))
    cutting = asyncio.create_task(cut.wait())
    await asyncio.wait({stopping, cutting}, return_when=asyncio.FIRST_COMPLETED)
    cutting.cancel()
    if not stopping.done():
        log.info("Cutting off the requests in flight")
        await gateway.stop(0)
    await stopping
    await source.stop()


def _replica(gateway: Gateway, options: argparse.Namespace) -> Source:
    """Return a replica that follows the API server; only this loads what a cluster needs.

    Raises MissingExtraError, AccessError.
    """
    try:
        from hearth_gateway.cluster.access import find_access
        from hearth_gateway.cluster.replica import Replica, ReplicaOptions
    except ImportError as error:
        raise MissingExtraError(f"--config-map: {error}", "install hearth-gateway[cluster]") from error
    access = find_access(
        os.environ,
        server=options.api_server,
        namespace=options.namespace,
        token_file=options.token_file,
        ca_file=options.ca_file,
    )
    return Replica(
        gateway,
        ReplicaOptions(
            config_map=options.config_map,
            access=access,
            peers=options.peers,
            pod=os.environ.get("POD_NAME", ""),
            scaler_listen=options.scaler_listen,
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
