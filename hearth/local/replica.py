"""Replica: a process that is started, probed, restarted when it exits by itself, and drained when it must stop.

A replica keeps its devices and its log across restarts; its port and its process change. It calls `changed` whenever its
public state changes, and `report` with events for people.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from hearth.api import format_duration
from hearth.api.errors import HearthError
from hearth.local.logs import LogFile
from hearth.local.orphans import stop_marked
from hearth.local.probes import watch
from hearth.local.process import Exit, Process, free_port, start_process
from hearth.local.restarts import Failures, after_exit, after_start_error
from hearth.local.state import TOKEN_VARIABLE, ProcessRecord, StateDir, process_identity
from hearth.local.workload import Workload
from hearth.planning import Launch

LONGEST_RESTART_GRACE = 10.0
"""Seconds between SIGTERM and SIGKILL for a process that failed its liveness probe."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Surroundings that all replicas share: the state directory, the base environment, the ports in use."""

    state: StateDir
    environment: Mapping[str, str]
    ports: set[int]


class Replica:
    """Replica that starts when it is created. `name` is its ordinal; `devices` are its own until it is `gone`."""

    def __init__(
        self,
        name: str,
        workload: Workload,
        devices: tuple[str, ...],
        surroundings: Surroundings,
        *,
        changed: Callable[[], None],
        report: Callable[[str], None],
    ) -> None:
        self.name = name
        self.workload = workload
        self.devices = devices
        self.ready = False
        self.leaving = False
        self.gone = False
        self.failures = Failures()
        self.restarts = 0
        self.cause: str | None = None
        """How it failed last, as in "exited with code 1"; may quote the engine's log, so it is for the owner only."""
        self.retry_at: float | None = None
        """When it restarts, in the loop's seconds, while it waits for that."""
        self.process: Process | None = None
        self.port: int | None = None
        self._shared = surroundings
        self._changed = changed
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._ready_since: float | None = None
        self.started_at = 0.0
        """When its process was started, in the loop's seconds."""
        self._stop = asyncio.Event()
        self._log = LogFile(surroundings.state.log_path(workload.name, name))
        self._task = asyncio.create_task(self._run(), name=f"{workload.name}/{name}")

    @property
    def endpoint_id(self) -> str | None:
        """Identity of its process for the gateway, which must not take a new process for the old one."""
        return f"{self.name}-{self.port}" if self.process is not None else None

    async def leave(self, idle: asyncio.Future[None] | None) -> None:
        """Drain and stop: no new requests, at most `drain_timeout` for those in flight, SIGTERM, grace, SIGKILL.

        `idle` is done when no request is in flight; None when the gateway has no endpoint of it. Returns when the
        process is gone.
        """
        self.leaving = True
        self._stop.set()
        self._changed()
        process = self.process
        try:
            if process is not None and process.ended is None:
                if idle is not None:
                    await self._drain(process, idle)
                await process.stop(self.workload.grace)
        finally:
            if idle is not None:
                idle.cancel()
        await self._task

    def failure(self) -> BaseException | None:
        """Return the unexpected exception that stopped it, a fault of Hearth, or None."""
        return self._task.exception() if self._task.done() and not self._task.cancelled() else None

    def kill(self) -> None:
        """Kill its process now, which aborts requests in flight."""
        self.leaving = True
        self._stop.set()
        if self.process is not None:
            self.process.kill()

    async def _drain(self, process: Process, idle: asyncio.Future[None]) -> None:
        ended = asyncio.ensure_future(process.wait())
        timeout = self.workload.drain_timeout
        either: set[asyncio.Future[Any]] = {idle, ended}
        done, _ = await asyncio.wait(either, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            self._report(
                f"still has requests in flight after {format_duration(timeout)} (spec.scaling.drainTimeout); aborting them"
            )
        ended.cancel()
        await asyncio.gather(ended, return_exceptions=True)

    async def _run(self) -> None:
        try:
            while not self._stop.is_set():
                await self._live()
                if self._stop.is_set():
                    break
                self.restarts += 1
                delay = self.failures.delay
                self.retry_at = self._loop.time() + delay
                self._report(f"{self.cause}; {f'restarting in {format_duration(delay)}' if delay else 'restarting'}")
                self._changed()
                with suppress(TimeoutError):
                    async with asyncio.timeout(delay):
                        await self._stop.wait()
                self.retry_at = None
        finally:
            self.gone = True
            self._log.close()
            self._changed()

    async def _live(self) -> None:
        """Run one process, from its start to its exit."""
        port = free_port(self._shared.ports)
        self._shared.ports.add(port)
        record = ProcessRecord(secrets.token_hex(16), self.workload.name, self.name, "")
        try:
            process, launch = self._start(record, port)
        except HearthError as error:
            self._shared.state.forget(record.token)
            self._shared.ports.discard(port)
            self.failures = after_start_error(self.failures)
            self.cause = f"failed to start: {error}"
            return
        self.process, self.port, self.started_at = process, port, self._loop.time()
        self._changed()
        try:
            why, end = await self._watch(process, launch)
        finally:
            ready_for = self._loop.time() - self._ready_since if self._ready_since is not None else 0.0
            self.process, self.port, self.ready, self._ready_since = None, None, False, None
            self._changed()
            # What left the process group (a daemon of the engine) would keep the device; it still has the token.
            await asyncio.to_thread(stop_marked, record)
            self._shared.state.forget(record.token)
            self._shared.ports.discard(port)
        if not self.leaving:
            self.failures = after_exit(self.failures, ready_for)
            last = self._log.last_line()
            self.cause = (why or str(end)) + (f": {last}" if last else "")

    def _start(self, record: ProcessRecord, port: int) -> tuple[Process, Launch]:
        state = self._shared.state
        launch = self.workload.launch(self.devices, port)
        record = replace(record, command=launch.argv[0])
        env = {
            **self._shared.environment,
            "PYTHONUNBUFFERED": "1",
            **launch.env,
            TOKEN_VARIABLE: record.token,
        }
        try:
            state.record(record)
            self._log.note(f"replica {self.name} on port {port}, {datetime.now().astimezone():%Y-%m-%d %H:%M:%S}")
        except OSError as error:
            raise HearthError(f"cannot write to {state.path}: {error.strerror}", "free disk space there") from error
        process = start_process(launch.argv, env, launch.cwd, self._log)
        with suppress(OSError):  # the disk has filled up since: the token alone then identifies the process
            state.record(replace(record, pid=process.pid, identity=process_identity(process.pid)))
        return process, launch

    async def _watch(self, process: Process, launch: Launch) -> tuple[str | None, Exit]:
        """Wait for the exit; return why the process was stopped, None when it exited by itself."""
        probes = asyncio.ensure_future(watch(launch, self._set_ready))
        ended = asyncio.ensure_future(process.wait())
        try:
            await asyncio.wait({probes, ended}, return_when=asyncio.FIRST_COMPLETED)
            why = None
            if not ended.done():
                why = probes.result()
                self._set_ready(ready=False)
                await process.stop(min(self.workload.grace, LONGEST_RESTART_GRACE))
            return why, await ended
        finally:
            probes.cancel()
            await asyncio.gather(probes, return_exceptions=True)

    def _set_ready(self, ready: bool) -> None:  # noqa: FBT001 - a callback with one argument
        if ready == self.ready:
            return
        self.ready = ready
        if not ready:
            self._ready_since = None
            self._report("failed its readiness probe")
        elif not self.leaving:
            self._ready_since = self._loop.time()
            self.cause = None
            self._report(f"ready in {format_duration(round(self._loop.time() - self.started_at, 1))}")
        self._changed()
