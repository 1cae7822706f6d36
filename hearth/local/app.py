"""`hearth up` without its looks: everything that runs, in the order in which it has to start and to end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hearth.api import HearthError
from hearth.local.configuration import STDIN, Configuration, load_configuration, signature, with_kept
from hearth.local.control import ControlServer
from hearth.local.inventory import read_pools
from hearth.local.orphans import end_processes, find_orphans
from hearth.local.state import StateDir
from hearth.local.supervisor import Supervisor
from hearth.plugins import VendorHost
from hearth_gateway import Gateway
from hearth_gateway.listen import ListenAddress, listen_error

WATCH_PERIOD = 0.5
"""Seconds between looks at the manifest files."""
ORPHAN_GRACE = 3.0
"""Seconds that a process left behind gets to end before it is killed."""
CLOSING = 2.0
"""Seconds that clients get to read what was written to them after the last backend is gone."""

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Options:
    """What `hearth up` was told."""

    files: tuple[Path, ...]
    listen: ListenAddress
    state: StateDir


class Screen(Protocol):
    """Where it is shown. `service` is empty for what concerns all."""

    def tell(self, service: str, text: str) -> None:
        """Something happened."""

    def started(self, supervisor: Supervisor, port: int) -> None:
        """Services can be shown from now on."""

    def stopping(self) -> None:
        """The first signal came: from now on the next one ends everything at once."""


async def up(options: Options, host: VendorHost, environment: Mapping[str, str], screen: Screen) -> None:
    """Run until SIGINT, SIGTERM or SIGHUP (a closed terminal), then drain; a second one ends everything at once.

    Raises HearthError when something is wrong before the first backend starts: manifests, state directory, port.
    """
    signals = _Signals()
    configuration = load_configuration(options.files, host)
    options.state.create()
    with options.state.locked(str(options.listen)) as announce, signals.handled():
        gateway = Gateway()
        await _listen(gateway, options.listen)
        announce(str(options.listen._replace(port=gateway.port)))
        try:
            await _end_orphans(options.state, screen)
            for fault in configuration.unplanned.values():
                screen.tell("", f"error: {fault}")
            await _run(options, host, environment, screen, gateway, configuration, signals)
        finally:
            await gateway.stop(0)


async def _run(
    options: Options,
    host: VendorHost,
    environment: Mapping[str, str],
    screen: Screen,
    gateway: Gateway,
    configuration: Configuration,
    signals: _Signals,
) -> None:
    supervisor = Supervisor(gateway, options.state, environment, screen.tell)
    control = ControlServer(supervisor, options.state.socket_path())
    tasks: list[asyncio.Task[None]] = []
    try:
        await _apply(supervisor, configuration, host, environment, screen)
        await control.start()
        screen.started(supervisor, gateway.port)
        tasks.append(asyncio.create_task(supervisor.run(), name="supervisor"))
        if not any(str(path) == STDIN for path in options.files):
            watching = _watch(options.files, host, environment, supervisor, configuration, screen)
            tasks.append(asyncio.create_task(watching, name="watch"))
        first = asyncio.create_task(signals.first.wait())
        done, _ = await asyncio.wait({first, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        first.cancel()
        for task in done - {first}:
            task.result()  # neither ends by itself: this raises what went wrong
    finally:
        for task in tasks[1:]:
            task.cancel()
        await _drain(supervisor, gateway, signals, configuration, screen)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await control.stop()


async def _listen(gateway: Gateway, address: ListenAddress) -> None:
    try:
        await gateway.start(address.host, address.port)
    except OSError as error:
        problem = listen_error(address, error)
        raise HearthError(problem.message, problem.remedy) from error


async def _end_orphans(state: StateDir, screen: Screen) -> None:
    """End what the records say is ours and still runs; afterwards nothing is recorded."""
    records = state.records()
    orphans = await asyncio.to_thread(find_orphans, records)
    for orphan in orphans:
        screen.tell(
            orphan.record.service, f"ending process {orphan.process.pid}, left behind by an earlier `hearth up`"
        )
    await asyncio.to_thread(end_processes, [orphan.process for orphan in orphans], ORPHAN_GRACE)
    for record in records:
        state.forget(record.token)


async def _apply(
    supervisor: Supervisor,
    configuration: Configuration,
    host: VendorHost,
    environment: Mapping[str, str],
    screen: Screen,
    *,
    known: Sequence[tuple[str, str]] = (),
) -> None:
    """Hand a configuration to the supervisor; `known` are warnings that were said before."""
    for service, text in configuration.warnings:
        if (service, text) not in known:
            screen.tell(service, f"warning: {text}")
    pools = await read_pools(configuration.inventories, host, environment)
    for pool in pools:
        if pool.error is not None:
            screen.tell("", f"error: no devices of vendor {pool.vendor}: {pool.error}")
    unplanned = {name: str(error) for name, error in configuration.unplanned.items()}
    await supervisor.apply(configuration.workloads, pools, unplanned)


async def _watch(
    files: Sequence[Path],
    host: VendorHost,
    environment: Mapping[str, str],
    supervisor: Supervisor,
    running: Configuration,
    screen: Screen,
) -> None:
    """Re-read the manifests when they change; what is wrong is said and changes nothing."""
    seen = signature(files)
    while True:
        await asyncio.sleep(WATCH_PERIOD)
        now = signature(files)
        if now == seen:
            continue
        seen = await _steady(files, now)
        try:
            new = load_configuration(files, host)
        except HearthError as error:
            for line in str(error).splitlines():
                screen.tell("", f"error: {line}")
            screen.tell("", "the manifests changed and are not usable; everything stays as it was")
            continue
        for fault in new.unplanned.values():
            screen.tell("", f"error: {fault}")
        known = running.warnings
        running = with_kept(new, running)
        screen.tell("", "the manifests changed")
        await _apply(supervisor, running, host, environment, screen, known=known)


async def _steady(files: Sequence[Path], last: object) -> object:
    """Wait until a look finds what the one before found: an editor may still be writing."""
    while True:
        await asyncio.sleep(0.1)
        now = signature(files)
        if now == last:
            return now
        last = now


async def _drain(
    supervisor: Supervisor, gateway: Gateway, signals: _Signals, configuration: Configuration, screen: Screen
) -> None:
    """Refuse what is held, let what is in flight end, stop the backends; the second signal cuts all of it short."""
    gateway.refuse_held()
    screen.stopping()
    busy, alive = supervisor.in_flight(), supervisor.processes()
    if busy:
        requests = "1 request" if busy == 1 else f"{busy} requests"
        screen.tell("", f"stopping; {requests} in flight may end first (Ctrl-C again to cut them off)")
    elif alive:
        processes = "1 process" if alive == 1 else f"{alive} processes"
        screen.tell("", f"stopping; {processes} may end first (Ctrl-C again to kill)")
    else:
        screen.tell("", "stopping")
    longest = max((load.drain_timeout for load in configuration.workloads), default=0.0)
    closing = asyncio.create_task(gateway.stop(longest + CLOSING))
    stopping = asyncio.create_task(supervisor.stop())
    force = asyncio.create_task(signals.second.wait())
    await asyncio.wait({stopping, force}, return_when=asyncio.FIRST_COMPLETED)
    if not stopping.done():
        screen.tell("", "ending everything now")
        supervisor.kill()
    await stopping
    force.cancel()
    gateway.refuse_held()
    with suppress(TimeoutError):
        async with asyncio.timeout(0 if signals.second.is_set() else CLOSING):
            await closing
    screen.tell("", "stopped")


class _Signals:
    """The signals that end a program as two events: the first and the second one."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()

    def handled(self) -> _Handled:
        return _Handled(self._arrived)

    def _arrived(self) -> None:
        (self.second if self.first.is_set() else self.first).set()


class _Handled:
    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback = callback
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> None:
        for number in _ENDING:
            self._loop.add_signal_handler(number, self._callback)

    def __exit__(self, *_: object) -> None:
        for number in _ENDING:
            self._loop.remove_signal_handler(number)
