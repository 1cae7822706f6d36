"""``hearth-gateway --config FILE``: the gateway alone, with a services file that it reads again when it changes."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
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
        parser.error(f"--listen: {options.listen!r} is not HOST:PORT")
    options.host, options.port = host.strip("[]") or "127.0.0.1", int(port)
    return options


async def _serve(options: argparse.Namespace) -> int:
    gateway = Gateway()
    services = load_services(options.config)
    gateway.apply(services)
    try:
        await gateway.start(options.host, options.port)
    except OSError as error:
        print(  # noqa: T201
            f"error: cannot listen on {options.listen}: {error.strerror or error}; stop what uses it or give another --listen",
            file=sys.stderr,
        )
        return 1
    log.info("listening on %s:%d, %d services", options.host, gateway.port, len(services))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    reloader = asyncio.create_task(_reload(gateway, options.config))
    await stop.wait()
    log.info("stopping: waiting up to %g s for requests in flight", options.grace)
    reloader.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await reloader
    await gateway.stop(options.grace)
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
