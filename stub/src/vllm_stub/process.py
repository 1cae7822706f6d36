"""The life of the process: bind, load, listen, drain, leave (order and signals as a real vLLM)."""

from __future__ import annotations

import asyncio
import signal
import socket
from asyncio.base_events import Server as TcpServer

from aiohttp import web

from vllm_stub import VERSION
from vllm_stub.engine import Engine
from vllm_stub.metrics import Metrics
from vllm_stub.options import Options
from vllm_stub.output import write_line
from vllm_stub.server import Api

BACKLOG = 2048
CLOSE_TIMEOUT = 0.5
"""Seconds that handlers may take to write their last event; a real vLLM is gone about 2 s after SIGTERM."""
DEAD_STATUS = 1


def run(options: Options) -> int:
    """Serve until a signal or the engine's death; returns the exit status. Raises OSError when binding fails."""
    listener = bind(options.host, options.port)
    return asyncio.run(_serve(options, listener))


def bind(host: str, port: int) -> socket.socket:
    """Return a bound socket that does not listen yet: connections are refused, and an occupied port fails at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


def say(text: str) -> None:
    """Return a log line as vLLM writes them, less the clock."""
    write_line(f"INFO {text}")


async def _serve(options: Options, listener: socket.socket) -> int:
    host, port = listener.getsockname()[:2]
    say(f"vLLM API server version {VERSION} (stub), model {options.model}, served as {', '.join(options.served_names)}")
    await asyncio.sleep(options.startup_delay)
    metrics = Metrics(options.name, options.max_model_len)
    engine = Engine(options, metrics)
    api = Api(options, engine, metrics)
    web_server = web.Server(
        api.handle, handler_cancellation=True, access_log=None, keepalive_timeout=options.http_keep_alive
    )
    loop = asyncio.get_running_loop()
    stop: asyncio.Future[int] = loop.create_future()
    leaving: set[asyncio.Task[None]] = set()

    def on_signal() -> None:
        if not leaving:
            leaving.add(loop.create_task(_leave(options, engine, stop)))

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    watchdog = loop.create_task(_watch(options, engine, stop))
    tcp = await loop.create_server(web_server, sock=listener, backlog=BACKLOG)
    say(f"Starting vLLM server on http://{host}:{port}")
    status = await stop
    watchdog.cancel()
    await _close(tcp, web_server)
    return status


async def _watch(options: Options, engine: Engine, stop: asyncio.Future[int]) -> None:
    """Leave some time after the engine's death, as vLLM's watchdog does (it looks every 5 s)."""
    await engine.dead.wait()
    if options.keep_dead:
        return
    await asyncio.sleep(options.death_delay)
    if not stop.done():
        stop.set_result(DEAD_STATUS)


async def _leave(options: Options, engine: Engine, stop: asyncio.Future[int]) -> None:
    """SIGTERM: abort at once, or after up to --shutdown-timeout seconds in which the socket still accepts."""
    engine.draining = True
    if options.shutdown_timeout > 0:
        say(f"Draining up to {options.shutdown_timeout:g} s")
        try:
            await asyncio.wait_for(engine.idle.wait(), options.shutdown_timeout)
        except TimeoutError:
            say(f"Aborting {engine.in_flight} requests")
    if not stop.done():
        stop.set_result(0)
    engine.end_all(options.abort_style)


async def _close(tcp: TcpServer, web_server: web.Server) -> None:
    tcp.close()
    # let ended works write their last events before idle connections are closed
    await asyncio.sleep(0)
    web_server.pre_shutdown()
    await web_server.shutdown(CLOSE_TIMEOUT)
