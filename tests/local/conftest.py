"""Fixtures: instances of `hearth up`, and a client."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import aiohttp
import pytest

from hearth.plugins import VendorHost
from tests.local.instance import DEADLINE, HEARTH, Start, Up, marked
from tests.local.sleepers import Sleepers


@pytest.fixture
async def up(tmp_path: Path) -> AsyncIterator[Start]:
    """Yield a function that starts an instance; at the end no process of it may be left."""
    started: list[tuple[Up, asyncio.Task[None]]] = []
    state = tmp_path / "state"

    async def start(*files: Path, listening: bool = True, options: Sequence[str] = (), **environment: str) -> Up:
        env = (
            os.environ
            | {"HEARTH_STATE_DIR": str(state), "STUB_TOKEN_COUNT": "1000", "STUB_TOKEN_DELAY": "10ms"}
            | environment
        )
        arguments = [part for file in files for part in ("-f", str(file))]
        process = await asyncio.create_subprocess_exec(
            *HEARTH, "up", *arguments, "--listen", "127.0.0.1:0", *options,
            env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        running = Up(process, state, env)
        started.append((running, asyncio.create_task(_read(running))))
        if listening:
            line = await running.said(r"Listening on ")
            running.port = int(re.findall(r":(\d+)/v1", line)[0])
        return running

    yield start
    for running, reader in started:
        for _ in range(2):  # the second one cuts off what a failed test left in flight
            if running.process.returncode is None:
                running.process.send_signal(signal.SIGINT)
        await running.ended()
        await reader
    left = marked(state)
    for process in left:
        process.kill()
    assert not left, "\n".join(line for running, _ in started for line in running.lines)


async def _read(running: Up) -> None:
    assert running.process.stdout is not None
    async for line in running.process.stdout:
        running.lines.append(line.decode().rstrip())


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=DEADLINE)) as session:
        yield session


@pytest.fixture
def sleeper() -> Iterator[Sleepers]:
    sleepers = Sleepers()
    yield sleepers
    sleepers.end()


@pytest.fixture(scope="module")
def host() -> VendorHost:
    return VendorHost.load()
