"""Instance of `hearth up` as users run it: its own process, its own state directory, the fake vendor's stub behind it."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from hearth.local.configuration import Configuration, load_configuration
from hearth.local.remote import call
from hearth.local.state import StateDir
from hearth.plugins import VendorHost
from tests.support import manifests
from tests.support.waiting import until

DEADLINE = 30.0
"""Seconds."""
HEARTH = (sys.executable, "-c", "from hearth.cli import main; main()")

Start = Callable[..., Any]


def service(name: str, **scaling: object) -> manifests.Manifest:
    """Return an LLMService on the fake vendor that scales to zero after a second."""
    wanted = {"scaleDownStabilization": "1s", "drainTimeout": "20s", **scaling}
    return manifests.service(name, runtime={"name": "vllm-fake"}, scaling=wanted)


def write(path: Path, *documents: Mapping[str, Any]) -> Path:
    path.write_text(manifests.as_yaml(*documents), encoding="utf-8")
    return path


def load(path: Path, host: VendorHost, *documents: Mapping[str, Any]) -> Configuration:
    """Return the configuration of documents that are written to a file of the directory."""
    return load_configuration([write(path / "a.yaml", *documents)], host)


def marked(state: Path) -> list[psutil.Process]:
    """Return every live process that a `hearth up` on this state directory started."""
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
        """Return one service, asked as `hearth get` asks."""
        views: list[dict[str, Any]] = await asyncio.to_thread(call, StateDir(self.state), {"do": "get"})
        return next(view for view in views if view["name"] == name)

    async def phase(self, name: str, wanted: str) -> dict[str, Any]:
        """Wait for a phase."""

        async def reached() -> dict[str, Any] | None:
            view = await self.view(name)
            return view if view["phase"] == wanted else None

        view = await until(reached, f"{name} is {wanted}", DEADLINE, interval=0.05)
        assert view is not None
        return view

    async def interrupt(self, number: int = signal.SIGINT) -> int:
        """Send a signal and wait for the end; returns the exit code."""
        self.process.send_signal(number)
        return await self.ended()

    async def ended(self) -> int:
        async with asyncio.timeout(DEADLINE):
            return await self.process.wait()


async def ask(http: aiohttp.ClientSession, running: Up, model: str, **body: object) -> tuple[int, Any]:
    """Ask for one chat completion, not streamed."""
    request = {"model": model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2, **body}
    async with http.post(f"{running.url}/v1/chat/completions", json=request) as answer:
        return answer.status, await answer.json()


async def stream(http: aiohttp.ClientSession, running: Up, model: str, tokens: int) -> list[str]:
    """Ask for one chat completion as a stream; return its lines that are not empty."""
    request = {"model": model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": tokens, "stream": True}
    async with http.post(f"{running.url}/v1/chat/completions", json=request) as answer:
        return [line.decode().strip() async for line in answer.content if line.strip()]
