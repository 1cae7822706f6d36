"""`/healthz`, `/readyz` and `/metrics` of the operator."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from aiohttp import web

from hearth.api import HearthError
from hearth.operator.metrics import CONTENT_TYPE, Metrics

Verdict = Callable[[], str | None]
"""Returns what is wrong, or None."""


class Health:
    """Server of the three. An asynchronous context manager; it answers from the start to the end of the process."""

    def __init__(self, host: str | None, port: int, metrics: Metrics, *, alive: Verdict, ready: Verdict) -> None:
        self._host = host
        self._port = port
        self._metrics = metrics
        self._alive = alive
        self._ready = ready
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._exposition)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)

    async def __aenter__(self) -> Health:
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as exc:
            await self._runner.cleanup()
            raise HearthError(
                f"--listen: port {self._port} cannot be used: {exc.strerror or exc}", "use another"
            ) from exc
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    @property
    def port(self) -> int:
        """Port that the server listens on."""
        port: int = self._runner.addresses[0][1]
        return port

    async def _healthz(self, _: web.Request) -> web.Response:
        return _verdict(self._alive())

    async def _readyz(self, _: web.Request) -> web.Response:
        return _verdict(self._ready())

    async def _exposition(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics.render(), headers={"Content-Type": CONTENT_TYPE})


def _verdict(problem: str | None) -> web.Response:
    if problem is None:
        return web.Response(text="ok\n")
    return web.Response(status=503, text=f"{problem}\n")
