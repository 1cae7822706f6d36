"""The gateway alone: with a services file that it reads again when it changes, or as a replica in a cluster."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Protocol

import uvloop

from hearth_gateway.config import ConfigError, load_services
from hearth_gateway.gateway import Gateway

RELOAD_INTERVAL = 0.5
log = logging.getLogger("hearth.gateway")


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code: 0 after a stop by signal, 1 when it cannot run, 2 for bad arguments."""
    options = _parse(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        return uvloop.run(_serve(options))
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 2
    except CannotRun as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        return 130


class CannotRun(Exception):
    """Something that is needed is taken or missing; the message says what and the remedy."""


class Source(Protocol):
    """Where services and backends come from."""

    async def start(self) -> None:
        """Follow changes."""

    async def leave(self, grace: float, cut: asyncio.Event) -> None:
        """What is to be done before no connection is accepted any more; takes at most ``grace`` seconds, or until ``cut``."""

    async def stop(self) -> None:
        """No more changes."""


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="hearth-gateway", description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--config", type=Path, metavar="FILE", help="services file, YAML or JSON")
    source.add_argument("--config-map", metavar="NAME", help="in a cluster: the ConfigMap with the services")
    parser.add_argument(
        "--listen",
        default="127.0.0.1:8080",
        metavar="HOST:PORT",
        help="default 127.0.0.1:8080; :PORT is every address; port 0: a free one",
    )
    parser.add_argument(
        "--grace", default=30.0, type=float, metavar="SECONDS", help="for requests in flight at a stop, default 30"
    )
    cluster = parser.add_argument_group("in a cluster, with --config-map")
    cluster.add_argument("--peers", default="", metavar="SERVICE", help="the Service whose replicas share the demand")
    cluster.add_argument(
        "--scaler-listen",
        default=":9090",
        metavar="HOST:PORT",
        help="gRPC for KEDA and the other replicas, default :9090",
    )
    cluster.add_argument("--namespace", help="default: POD_NAMESPACE, else that of the pod's account")
    cluster.add_argument("--api-server", metavar="URL", help="default: that of the pod")
    cluster.add_argument("--token-file", type=Path, metavar="FILE", help="default: that of the pod's account")
    cluster.add_argument("--ca-file", type=Path, metavar="FILE", help="who signed the API server's certificate")
    options = parser.parse_args(argv)
    options.host, options.port = _address(parser, "--listen", options.listen)
    options.scaler_host, options.scaler_port = _address(parser, "--scaler-listen", options.scaler_listen)
    if not options.grace >= 0:
        parser.error(f"--grace: {options.grace:g} is not a time; give 0 or more seconds")
    return options


def _address(parser: argparse.ArgumentParser, flag: str, text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        parser.error(f"{flag}: {text!r} is not HOST:PORT, such as 127.0.0.1:8080")
    return host.strip("[]"), int(port)


async def _serve(options: argparse.Namespace) -> int:
    gateway = Gateway()
    source = _cluster(gateway, options) if options.config_map else _File(gateway, options.config)
    try:
        await gateway.start(options.host, options.port)
    except OSError as error:
        raise CannotRun(_why_not(options.listen, error)) from error
    host = f"[{options.host}]" if ":" in options.host else options.host
    count = len(gateway.services)
    number = "1 service" if count == 1 else f"{count} services"
    log.info("listening on %s:%d, %s", host, gateway.port, number)
    first, second = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # SIGHUP: its terminal was closed
        loop.add_signal_handler(ending, lambda: (second if first.is_set() else first).set())
    try:
        await source.start()
    except OSError as error:
        raise CannotRun(f"{error}; give another --scaler-listen") from error
    await first.wait()
    log.info("stopping: waiting up to %g s for requests in flight; a second signal cuts them off", options.grace)
    end = gateway.now() + options.grace
    await source.leave(options.grace, second)
    stopping = asyncio.create_task(gateway.stop(max(0.0, end - gateway.now())))
    force = asyncio.create_task(second.wait())
    await asyncio.wait({stopping, force}, return_when=asyncio.FIRST_COMPLETED)
    force.cancel()
    if not stopping.done():
        log.info("cutting off the requests in flight")
        await gateway.stop(0)
    await stopping
    await source.stop()
    return 0


def _why_not(listen: str, error: OSError) -> str:
    # Not error.strerror, which is a whole sentence of asyncio's; of a host that is not found it is all there is.
    code = 0 if isinstance(error, socket.gaierror) else error.errno or 0
    why = os.strerror(code) if code else error.strerror or str(error)
    remedy = "stop what uses it or give another --listen"
    if code != errno.EADDRINUSE:
        remedy = "give an address of this machine and a port that you may use with --listen, such as 127.0.0.1:8080"
    return f"cannot listen on {listen}: {why}; {remedy}"


def _cluster(gateway: Gateway, options: argparse.Namespace) -> Source:
    """The API server as source. Only here: one machine needs none of it. Raises CannotRun."""
    try:
        from hearth_gateway.cluster.access import AccessError, find_access
        from hearth_gateway.cluster.replica import Replica, ReplicaOptions
    except ImportError as error:
        raise CannotRun(f"--config-map: {error}; install hearth-gateway[cluster]") from error
    try:
        access = find_access(
            os.environ,
            server=options.api_server,
            namespace=options.namespace,
            token_file=options.token_file,
            ca_file=options.ca_file,
        )
    except AccessError as error:
        raise CannotRun(str(error)) from error

    return Replica(
        gateway,
        ReplicaOptions(
            config_map=options.config_map,
            access=access,
            peers=options.peers,
            pod=os.environ.get("POD_NAME", ""),
            scaler_host=options.scaler_host,
            scaler_port=options.scaler_port,
        ),
    )


class _File:
    """A services file that is read again when it changes; one that is not good leaves everything as it was."""

    def __init__(self, gateway: Gateway, path: Path) -> None:
        self._gateway = gateway
        self._path = path
        self._seen = _stamp(path)
        self._task: asyncio.Task[None] | None = None
        gateway.apply(load_services(path))

    async def start(self) -> None:
        self._task = asyncio.create_task(self._reload())

    async def leave(self, grace: float, cut: asyncio.Event) -> None:
        """Nobody is to come any more: the listener closes at once, and the services stay as they are."""
        await self.stop()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _reload(self) -> None:
        while True:
            await asyncio.sleep(RELOAD_INTERVAL)
            stamp = _stamp(self._path)
            if stamp == self._seen:
                continue
            self._seen = stamp
            try:
                services = load_services(self._path)
            except ConfigError as error:
                log.error("services not changed: %s", error)
                continue
            self._gateway.apply(services)
            log.info("services applied: %s", ", ".join(service.name for service in services) or "none")


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file is written or replaced."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


if __name__ == "__main__":
    sys.exit(main())
