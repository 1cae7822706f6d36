"""Probes of backends, only while requests wait for one.

Kubelet's probes have a granularity of a second and their result travels through the API server; a held request should not wait for
that. vLLM refuses connections until its engine is ready, so the first 200 means ready (facts of vLLM 0.33: it listens last).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from hearth_gateway.config import Probe
from hearth_gateway.policy.backend import Backend
from hearth_gateway.policy.service import Service

SUSPECT_INTERVAL = 1.0
"""Seconds between probes of a backend that failed while others serve."""
MAX_STATUS_LINE = 16 * 1024
"""Bytes."""


class Prober:
    """One task per service with something to probe; none otherwise."""

    def __init__(self) -> None:
        self._tasks: dict[Service, asyncio.Task[None]] = {}  # not by name: a service may be removed and come back

    def ensure(self, service: Service) -> None:
        """Probe until nothing is left to ask."""
        if service not in self._tasks:
            task = asyncio.get_running_loop().create_task(self._run(service), name=f"probe {service.name}")
            self._tasks[service] = task

    async def _run(self, service: Service) -> None:
        asked: dict[str, asyncio.Task[None]] = {}
        try:
            while service.is_waiting():
                # A backend that hangs must not delay the question to another.
                for backend in service.probe_targets():
                    if backend.id not in asked:
                        asked[backend.id] = asyncio.create_task(self._ask(service, backend, asked))
                await asyncio.sleep(SUSPECT_INTERVAL if service.usable else service.config.probe.interval_seconds)
        finally:
            self._tasks.pop(service, None)
            for task in list(asked.values()):
                task.cancel()

    async def _ask(self, service: Service, backend: Backend, asked: dict[str, asyncio.Task[None]]) -> None:
        try:
            if await answers(backend.address, backend.port, service.config.probe):
                service.mark_answered(backend)
        finally:
            asked.pop(backend.id, None)

    async def stop(self) -> None:
        """End every task."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def answers(address: str, port: int, probe: Probe) -> bool:
    """Return whether a GET of the probe's path has a 200 in time."""
    try:
        async with asyncio.timeout(probe.timeout_seconds):
            return await get_status(address, port, probe.path, {"Host": address, "Connection": "close"}) == 200
    except (OSError, ValueError, TimeoutError):
        return False


async def get_status(host: str, port: int, path: str, headers: Mapping[str, str]) -> int:
    """Return the status of a GET. Raises OSError when nothing can be asked, ValueError when the answer is not HTTP."""
    reader, writer = await asyncio.open_connection(host, port, limit=MAX_STATUS_LINE)
    try:
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        writer.write("\r\n".join(lines).encode("latin-1"))
        line = await reader.readline()
        version, status, *_ = line.split()
        if not line.endswith(b"\n") or not version.startswith(b"HTTP/"):
            raise ValueError(f"{line[:60]!r} is not the status line of an HTTP response")
        return int(status)
    finally:
        writer.close()
