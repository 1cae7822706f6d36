"""The 0 -> 1 -> N -> 0 loop on this machine, with the real openai client. `make demo` runs it.

Prints a timeline in measured seconds. The exit code is 0 only when every step was seen to happen.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import openai
import psutil

HERE = Path(__file__).parent
HEARTH = Path(sys.executable).with_name("hearth")
MODEL = "demo"
DEVICES = 3
CLIENTS = 14
Seen = TypeVar("Seen")
LIMIT = 60.0  # seconds; the whole demo takes under 30


class DemoError(Exception):
    """A step did not happen."""


class Timeline:
    """Prints what happens and when, in seconds since the start."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def say(self, text: str) -> None:
        """Print a line with the seconds since the start."""
        print(f"{time.monotonic() - self._start:6.1f} s  {text}", flush=True)


class Hearth:
    """A `hearth up` of its own: own state directory, own port."""

    def __init__(self, state: Path, log: Path) -> None:
        self.environment = os.environ | {"HEARTH_STATE_DIR": str(state), "HEARTH_FAKE_DEVICES": str(DEVICES)}
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [HEARTH, "up", "-f", HERE / "hearth.yaml", "--listen", "127.0.0.1:0"],
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )

    async def url(self) -> str:
        """Where it listens."""

        async def listening() -> str | None:
            if self.process.poll() is not None:
                raise DemoError(f"`hearth up` ended with exit code {self.process.returncode}:\n{self.log()}")
            found = re.search(r"Listening on (http://\S+)", self.log())
            return found[1] if found else None

        return await eventually(listening, "`hearth up` did not listen", 15)

    def log(self) -> str:
        """Return what `hearth up` has printed."""
        return self._log.read_text(errors="replace")

    async def get(self) -> tuple[str, int]:
        """Phase and ready replicas, as `hearth get` shows them."""
        command = [str(HEARTH), "get", MODEL, "-o", "json"]
        process = await asyncio.create_subprocess_exec(*command, env=self.environment, stdout=subprocess.PIPE)
        output, _ = await process.communicate()
        if process.returncode:
            raise DemoError(f"`hearth get` ended with exit code {process.returncode}")
        shown = json.loads(output)
        service = shown[0] if isinstance(shown, list) else shown
        return service["phase"], service["ready"]

    def engines(self) -> list[psutil.Process]:
        """Return the engine processes that run now."""
        return psutil.Process(self.process.pid).children(recursive=True)


async def eventually(look: Callable[[], Awaitable[Seen | None]], complaint: str, seconds: float) -> Seen:
    """Return what `look` returns once it is not None or False."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        seen = await look()
        if seen:
            return seen
        await asyncio.sleep(0.1)
    raise DemoError(f"{complaint} within {seconds:g} s")


async def cold_stream(client: openai.AsyncOpenAI, timeline: Timeline) -> None:
    """One streamed request to the sleeping model: heartbeats, then tokens, then a proper end."""
    started = time.monotonic()
    heartbeats, tokens, first_token, done = 0, 0, 0.0, False
    async with client.chat.completions.with_streaming_response.create(
        model=MODEL, stream=True, messages=[{"role": "user", "content": "Are you awake?"}]
    ) as response:
        timeline.say(f"cold request: held, status {response.status_code} after {time.monotonic() - started:.2f} s")
        async for line in response.iter_lines():
            if line.startswith(":"):
                heartbeats += 1
                timeline.say(f"  heartbeat  {line}")
            elif line == "data: [DONE]":
                done = True
            elif line.startswith("data: ") and json.loads(line[6:])["choices"][0]["delta"].get("content"):
                tokens += 1
                if tokens == 1:
                    first_token = time.monotonic() - started
                    timeline.say(f"  first token after {first_token:.2f} s")
    if not (heartbeats and tokens and done):
        raise DemoError(f"cold stream: {heartbeats} heartbeats, {tokens} tokens, [DONE] seen: {done}")
    timeline.say(f"  {tokens} tokens and [DONE]; {heartbeats} heartbeats kept the connection alive")


async def load(client: openai.AsyncOpenAI, hearth: Hearth, timeline: Timeline) -> int:
    """Clients that ask again and again until all replicas serve; returns how many requests were answered."""
    served = 0
    enough = asyncio.Event()

    async def ask() -> None:
        nonlocal served
        while not enough.is_set():
            answer = await client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "More."}])
            if answer.choices[0].finish_reason != "stop" or not answer.choices[0].message.content:
                raise DemoError(f"a wrong answer: {answer}")
            served += 1

    async def scaled() -> bool:
        return (await hearth.get())[1] == DEVICES

    timeline.say(f"load: {CLIENTS} clients at once, the manifest wants one replica for every 4 requests")
    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(ask())
        try:
            await eventually(scaled, f"{DEVICES} replicas were not ready", 15)
            timeline.say(f"  1 -> {DEVICES} replicas ready, on {len(hearth.engines())} engine processes")
            await asyncio.sleep(2)  # let the new replicas serve too
        finally:
            enough.set()
    return served


async def demo(hearth: Hearth, timeline: Timeline) -> None:
    """Every step, in order. Raises DemoError at the first that does not happen."""
    url = await hearth.url()
    phase, replicas = await hearth.get()
    if (phase, replicas, hearth.engines()) != ("ScaledToZero", 0, []):
        raise DemoError(f"expected nothing to run, found {phase} with {replicas} replicas")
    timeline.say(f"hearth up: {url} serves model `{MODEL}`; phase {phase}, 0 replicas, 0 engine processes")
    async with openai.AsyncOpenAI(base_url=url, api_key="unused", max_retries=0) as client:
        await cold_stream(client, timeline)
        served = await load(client, hearth, timeline)
    timeline.say(f"  {served} requests served, none failed")

    async def asleep() -> bool:
        return await hearth.get() == ("ScaledToZero", 0) and not hearth.engines()

    idle = time.monotonic()
    await eventually(asleep, "the model did not go back to sleep", 20)
    timeline.say(f"idle: back to 0 replicas and 0 processes after {time.monotonic() - idle:.1f} s (cooldown 3 s)")


async def stop(hearth: Hearth, timeline: Timeline) -> None:
    """Ctrl-C, and nothing may be left."""
    left = hearth.engines() if hearth.process.poll() is None else []
    if hearth.process.poll() is None:
        hearth.process.send_signal(signal.SIGINT)
    code = await asyncio.to_thread(hearth.process.wait, 20)
    if code or any(map(_alive, left)):
        raise DemoError(f"`hearth up` ended with exit code {code}, processes left: {left}")
    timeline.say("Ctrl-C: hearth up ended, no process left")


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def run() -> int:
    """Run the loop, print what happens when, and return the exit code."""
    timeline = Timeline()
    with tempfile.TemporaryDirectory(prefix="hearth-demo-") as folder:
        hearth = Hearth(Path(folder) / "state", Path(folder) / "log")
        try:
            async with asyncio.timeout(LIMIT):
                await demo(hearth, timeline)
        except (DemoError, openai.OpenAIError, TimeoutError, ExceptionGroup) as error:
            print(f"error: the demo failed: {error or 'it took too long'}", file=sys.stderr)
            print(f"what `hearth up` said:\n{hearth.log()}", file=sys.stderr)
            return 1
        finally:
            await stop(hearth, timeline)
    timeline.say("all of it happened")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(run()))
    except DemoError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
