"""Application of `hearth up`: everything that runs, in the order in which it has to start and to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hearth.api import HearthError, ManifestErrors
from hearth.local.configuration import STDIN, Configuration, load_configuration, signature, with_kept
from hearth.local.control import ControlServer
from hearth.local.inventory import read_pools
from hearth.local.orphans import find_orphans, stop_processes
from hearth.local.screen import Screen
from hearth.local.signals import StopSignals
from hearth.local.state import StateDir
from hearth.local.supervisor import Supervisor
from hearth.plugins import VendorHost
from hearth_gateway import Gateway
from hearth_gateway.listen import ListenAddress, listen_error

WATCH_PERIOD = 0.5
"""Seconds between two checks of the manifest files."""
STEADY_PERIOD = 0.1
"""Seconds without a change after which files are taken as completely written."""
ORPHAN_GRACE = 3.0
"""Seconds between SIGTERM and SIGKILL for a process of an earlier `hearth up`."""
CLOSING = 2.0
"""Seconds that clients have to read their responses after the last backend has stopped."""


@dataclass(frozen=True, slots=True)
class Options:
    """Options of `hearth up`."""

    files: tuple[Path, ...]
    listen: ListenAddress
    state: StateDir


async def up(options: Options, host: VendorHost, environment: Mapping[str, str], screen: Screen) -> None:
    """Run until SIGINT, SIGTERM or SIGHUP, then drain; a second signal aborts requests and kills processes.

    Raises HearthError when something is wrong before the first backend starts: manifests, state directory, port.
    """
    signals = StopSignals()
    configuration = load_configuration(options.files, host)
    options.state.create()
    with options.state.locked(str(options.listen)) as announce, signals.handled():
        gateway = Gateway()
        await _listen(gateway, options.listen)
        announce(str(options.listen._replace(port=gateway.port)))
        try:
            await _stop_orphans(options.state, screen)
            await _Run(options, host, environment, screen, gateway, configuration).until_stopped(signals)
        finally:
            await gateway.stop(0)


async def _listen(gateway: Gateway, address: ListenAddress) -> None:
    try:
        await gateway.start(address.host, address.port)
    except OSError as error:
        problem = listen_error(address, error)
        raise HearthError(problem.message, problem.remedy) from error


async def _stop_orphans(state: StateDir, screen: Screen) -> None:
    """Stop every recorded process that still runs, and delete the records."""
    records = state.records()
    orphans = await asyncio.to_thread(find_orphans, records)
    for orphan in orphans:
        screen.report(
            orphan.record.service, f"stopping process {orphan.process.pid}, left over from an earlier `hearth up`"
        )
    await asyncio.to_thread(stop_processes, [orphan.process for orphan in orphans], ORPHAN_GRACE)
    for record in records:
        state.forget(record.token)


class _Run:
    """One run: the supervisor, the control socket and the watch of the files, behind a gateway that listens."""

    def __init__(
        self,
        options: Options,
        host: VendorHost,
        environment: Mapping[str, str],
        screen: Screen,
        gateway: Gateway,
        configuration: Configuration,
    ) -> None:
        self._files = options.files
        self._host = host
        self._environment = environment
        self._screen = screen
        self._gateway = gateway
        self._configuration = configuration
        self._supervisor = Supervisor(gateway, options.state, environment, screen.report)
        self._control = ControlServer(self._supervisor, options.state.socket_path())

    async def until_stopped(self, signals: StopSignals) -> None:
        """Run until the first signal, then drain. Raises what no part foresaw."""
        tasks: list[asyncio.Task[None]] = []
        try:
            self._report_faults(one.error for one in self._configuration.unplanned.values())
            await self._apply(reported=())
            await self._control.start()
            self._screen.started(self._supervisor, self._gateway.port)
            tasks.append(asyncio.create_task(self._supervisor.run(), name="supervisor"))
            if not any(str(path) == STDIN for path in self._files):
                tasks.append(asyncio.create_task(self._watch(), name="watch"))
            first = asyncio.create_task(signals.first.wait())
            done, _ = await asyncio.wait({first, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            first.cancel()
            for task in done - {first}:
                task.result()  # no task returns by itself: this raises its exception
        finally:
            for task in tasks[1:]:
                task.cancel()
            await self._drain(signals)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._control.stop()

    async def _apply(self, reported: Sequence[tuple[str, str]]) -> None:
        """Hand the configuration to the supervisor; `reported` are warnings that were shown before."""
        for service, text in self._configuration.warnings:
            if (service, text) not in reported:
                self._screen.report(service, text, "warning")
        pools = await read_pools(self._configuration.inventories, self._host, self._environment)
        for pool in pools:
            if pool.error is not None:
                self._screen.report("", f"vendor {pool.vendor} has no devices: {pool.error}", "error")
        await self._supervisor.apply(self._configuration.workloads, pools, self._configuration.unplanned)

    async def _watch(self) -> None:
        """Reread the manifests when they change; invalid ones are reported and change nothing."""
        seen = signature(self._files)
        while True:
            await asyncio.sleep(WATCH_PERIOD)
            now = signature(self._files)
            if now == seen:
                continue
            seen = await _steady(self._files, now)
            try:
                new = load_configuration(self._files, self._host)
            except HearthError as error:
                self._report_faults(error.errors if isinstance(error, ManifestErrors) else (error,))
                self._report("The changed manifests are invalid; keeping the running configuration")
                continue
            self._report_faults(one.error for one in new.unplanned.values())
            reported = self._configuration.warnings
            self._configuration = with_kept(new, self._configuration)
            self._report("The manifests changed; applying them")
            await self._apply(reported)

    async def _drain(self, signals: StopSignals) -> None:
        """Refuse held requests, finish those in flight, stop the backends; the second signal cuts all of it short."""
        self._gateway.refuse_held()
        self._screen.stopping()
        self._report(_stopping(self._supervisor.in_flight(), self._supervisor.processes()))
        longest = max((load.drain_timeout for load in self._configuration.workloads), default=0.0)
        closing = asyncio.create_task(self._gateway.stop(longest + CLOSING))
        stopping = asyncio.create_task(self._supervisor.stop())
        force = asyncio.create_task(signals.second.wait())
        await asyncio.wait({stopping, force}, return_when=asyncio.FIRST_COMPLETED)
        if not stopping.done():
            self._report("Killing all processes")
            self._supervisor.kill()
        await stopping
        force.cancel()
        self._gateway.refuse_held()
        with suppress(TimeoutError):
            async with asyncio.timeout(0 if signals.second.is_set() else CLOSING):
                await closing
        self._report("Stopped")

    def _report(self, text: str) -> None:
        self._screen.report("", text)

    def _report_faults(self, faults: Iterable[object]) -> None:
        for fault in faults:
            self._screen.report("", str(fault), "error")


async def _steady(files: Sequence[Path], last: object) -> object:
    """Wait until the files no longer change: an editor may still be writing."""
    while True:
        await asyncio.sleep(STEADY_PERIOD)
        now = signature(files)
        if now == last:
            return now
        last = now


def _stopping(in_flight: int, processes: int) -> str:
    if in_flight:
        requests = "1 in-flight request" if in_flight == 1 else f"{in_flight} in-flight requests"
        return f"Stopping: waiting for {requests} (press Ctrl-C again to abort)"
    if processes:
        running = "1 process" if processes == 1 else f"{processes} processes"
        return f"Stopping: waiting for {running} to exit (press Ctrl-C again to kill)"
    return "Stopping"
