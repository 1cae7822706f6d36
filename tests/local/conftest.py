"""A `hearth up` as users run it: its own process, its own state directory, the fake vendor's stub behind it."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
import yaml

from hearth.local.remote import call
from hearth.local.state import StateDir

DEADLINE = 30.0
HEARTH = (sys.executable, "-c", "from hearth.cli import main; main()")


def service(name: str, **scaling: object) -> dict[str, Any]:
    """An LLMService on the fake vendor that sleeps after a second."""
    return {
        "apiVersion": "serving.hearth.dev/v1alpha1",
        "kind": "LLMService",
        "metadata": {"name": name},
        "spec": {
            "model": {"source": {"uri": "hf://hearth/tiny"}},
            "runtime": {"name": "vllm-fake"},
            "scaling": {"scaleDownStabilization": "1s", "drainTimeout": "20s", **scaling},
        },
    }


def write(path: Path, *documents: Mapping[str, Any]) -> Path:
    path.write_text(yaml.safe_dump_all(documents), encoding="utf-8")
    return path


def marked(state: Path) -> list[psutil.Process]:
    """Every live process that a `hearth up` on this state directory started."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            environment = process.environ()
            if environment.get("HEARTH_STATE_DIR") == str(state) and "HEARTH_PROCESS" in environment:
                found.append(process)
    return [process for process in found if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


@dataclass
class Up:
    """A running `hearth up`."""

    process: asyncio.subprocess.Process
    state: Path
    environment: dict[str, str]
    lines: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def said(self, pattern: str, times: int = 1) -> str:
        """Wait until a line matches."""
        end = asyncio.get_running_loop().time() + DEADLINE
        while asyncio.get_running_loop().time() < end:
            over = self.process.returncode is not None
            found = [line for line in self.lines if re.search(pattern, line)]
            if len(found) >= times:
                return found[times - 1]
            if over:
                break
            await asyncio.sleep(0.02)
        pytest.fail(f"never said {pattern!r}:\n" + "\n".join(self.lines))

    def backends(self) -> list[psutil.Process]:
        return marked(self.state)

    async def cli(self, *args: str) -> tuple[int, str, str]:
        """Run another `hearth` command on the same state directory: exit code, stdout, stderr."""
        command = await asyncio.create_subprocess_exec(
            *HEARTH, *args, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        out, err = await command.communicate()
        assert command.returncode is not None
        return command.returncode, out.decode(), err.decode()

    async def view(self, name: str) -> dict[str, Any]:
        """One service, asked as `hearth get` asks."""
        views: list[dict[str, Any]] = await asyncio.to_thread(call, StateDir(self.state), {"do": "get"})
        return next(view for view in views if view["name"] == name)

    async def phase(self, name: str, wanted: str) -> dict[str, Any]:
        """Wait for a phase."""
        async with asyncio.timeout(DEADLINE):
            while True:
                view = await self.view(name)
                if view["phase"] == wanted:
                    return view
                await asyncio.sleep(0.05)

    async def interrupt(self, number: int = signal.SIGINT) -> int:
        """Send a signal and wait for the end; returns the exit code."""
        self.process.send_signal(number)
        return await self.ended()

    async def ended(self) -> int:
        async with asyncio.timeout(DEADLINE):
            return await self.process.wait()


Start = Callable[..., Any]


@pytest.fixture
async def up(tmp_path: Path) -> AsyncIterator[Start]:
    """Start one: `await up(file, ..., VARIABLE=value)`. At the end nothing of it may be left."""
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
            line = await running.said(r"listening on ")
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


async def ask(http: aiohttp.ClientSession, running: Up, model: str, **body: object) -> tuple[int, Any]:
    """One chat completion, not streamed."""
    request = {"model": model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2, **body}
    async with http.post(f"{running.url}/v1/chat/completions", json=request) as answer:
        return answer.status, await answer.json()


async def stream(http: aiohttp.ClientSession, running: Up, model: str, tokens: int) -> list[str]:
    """One chat completion as a stream: its lines that are not empty."""
    request = {"model": model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": tokens, "stream": True}
    async with http.post(f"{running.url}/v1/chat/completions", json=request) as answer:
        return [line.decode().strip() async for line in answer.content if line.strip()]
