"""The gateway alone, with a services file that it reads again when it changes."""

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

import uvloop

from .config import ConfigError, load_services
from .gateway import Gateway

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
    except KeyboardInterrupt:
        return 130


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="hearth-gateway", description=__doc__)
    parser.add_argument("--config", required=True, type=Path, metavar="FILE", help="services file, YAML or JSON")
    parser.add_argument(
        "--listen", default="127.0.0.1:8080", metavar="HOST:PORT", help="default 127.0.0.1:8080; port 0: a free one"
    )
    parser.add_argument(
        "--grace", default=30.0, type=float, metavar="SECONDS", help="for requests in flight at a stop, default 30"
    )
    options = parser.parse_args(argv)
    host, colon, port = options.listen.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        parser.error(f"--listen: {options.listen!r} is not HOST:PORT, such as 127.0.0.1:8080")
    if not options.grace >= 0:
        parser.error(f"--grace: {options.grace:g} is not a time; give 0 or more seconds")
    options.host, options.port = host.strip("[]") or "127.0.0.1", int(port)
    return options


async def _serve(options: argparse.Namespace) -> int:
    gateway = Gateway()
    services = load_services(options.config)
    gateway.apply(services)
    try:
        await gateway.start(options.host, options.port)
    except OSError as error:
        # Not error.strerror, which is a whole sentence of asyncio's; of a host that is not found it is all there is.
        code = 0 if isinstance(error, socket.gaierror) else error.errno or 0
        why = os.strerror(code) if code else error.strerror or str(error)
        remedy = "stop what uses it or give another --listen"
        if code != errno.EADDRINUSE:
            remedy = "give an address of this machine and a port that you may use with --listen, such as 127.0.0.1:8080"
        print(f"error: cannot listen on {options.listen}: {why}; {remedy}", file=sys.stderr)  # noqa: T201
        return 1
    host = f"[{options.host}]" if ":" in options.host else options.host
    number = "1 service" if len(services) == 1 else f"{len(services)} services"
    log.info("listening on %s:%d, %s", host, gateway.port, number)
    first, second = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # SIGHUP: its terminal was closed
        loop.add_signal_handler(ending, lambda: (second if first.is_set() else first).set())
    reloader = asyncio.create_task(_reload(gateway, options.config))
    await first.wait()
    log.info("stopping: waiting up to %g s for requests in flight; a second signal cuts them off", options.grace)
    reloader.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await reloader
    stopping = asyncio.create_task(gateway.stop(options.grace))
    force = asyncio.create_task(second.wait())
    await asyncio.wait({stopping, force}, return_when=asyncio.FIRST_COMPLETED)
    force.cancel()
    if not stopping.done():
        log.info("cutting off the requests in flight")
        await gateway.stop(0)
    await stopping
    return 0


async def _reload(gateway: Gateway, path: Path) -> None:
    """Apply the file when it changes; a file that is not good leaves everything as it was."""
    seen = _stamp(path)
    while True:
        await asyncio.sleep(RELOAD_INTERVAL)
        stamp = _stamp(path)
        if stamp == seen:
            continue
        seen = stamp
        try:
            services = load_services(path)
        except ConfigError as error:
            log.error("services not changed: %s", error)
            continue
        gateway.apply(services)
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
