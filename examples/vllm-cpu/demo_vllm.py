"""A real vLLM that sleeps at zero: the loop of `make demo` with an engine that takes half a minute to load.

Starts `hearth up` on the manifests beside this file and talks to it with the real openai client. Prints a timeline in
measured seconds. The exit code is 0 only when every step was seen to happen.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import openai
import psutil

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
HEARTH = Path(sys.executable).with_name("hearth")
SERVICE = "tiny"
Seen = TypeVar("Seen")
PLACEHOLDER = "file:///models/tiny-llama"
COLD_TOKENS = 40
CONTEXT_TOKENS = 8000
LONG_SECONDS = 8.0
"""How long the stream that is interrupted by SIGTERM should take."""
START_SECONDS = 300.0
SLEEP_SECONDS = 120.0


class DemoError(Exception):
    """A step did not happen."""


class Timeline:
    """Prints what happens and when, in seconds since the start."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def say(self, text: str) -> None:
        """Print a line with the seconds since the start."""
        print(f"{time.monotonic() - self._start:6.1f} s  {text}", flush=True)


@dataclass(slots=True)
class Answer:
    """What came back on a stream; times are seconds since it was sent."""

    heartbeats: int = 0
    tokens: int = 0
    text: str = ""
    head_after: float = 0.0
    first_after: float = 0.0
    took: float = 0.0
    finish_reason: str = ""
    done: bool = False

    @property
    def rate(self) -> float:
        """Tokens per second after the first."""
        return (self.tokens - 1) / max(self.took - self.first_after, 1e-3)

    def check(self, name: str, tokens: int) -> None:
        """Raise DemoError unless the answer has all its tokens and a proper end."""
        if (self.tokens, self.finish_reason, self.done) != (tokens, "length", True):
            raise DemoError(
                f"{name}: {self.tokens} of {tokens} tokens, finish_reason {self.finish_reason!r}, [DONE]: {self.done}"
            )


class Hearth:
    """A `hearth up` of its own: its own state directory and port, and all it starts."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.environment = os.environ | {"HEARTH_STATE_DIR": str(folder / "state")}
        self._log = folder / "log"
        service = folder / "service.yaml"
        service.write_text((HERE / "service.yaml").read_text().replace(PLACEHOLDER, model.resolve().as_uri()))
        with self._log.open("wb") as output:
            self.process = subprocess.Popen(
                [HEARTH, "up", "-f", HERE / "runtime.yaml", "-f", service, "--listen", "127.0.0.1:0"],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def log(self) -> str:
        """Return what `hearth up` has printed."""
        return self._log.read_text(errors="replace")

    def url(self) -> str:
        """Where it listens."""

        def listening() -> str | None:
            if self.process.poll() is not None:
                raise DemoError(f"`hearth up` ended with exit code {self.process.returncode}")
            found = re.search(r"Listening on (http://\S+)", self.log())
            return found[1] if found else None

        return eventually(listening, "`hearth up` did not listen", 15)

    def command(self, *arguments: str) -> str:
        """Return the output of another `hearth` command about this one."""
        done = subprocess.run(
            [HEARTH, *arguments], env=self.environment, capture_output=True, text=True, timeout=30, check=False
        )
        if done.returncode:
            raise DemoError(f"`hearth {' '.join(arguments)}` failed: {done.stderr.strip()}")
        return done.stdout

    def get(self) -> tuple[str, int]:
        """Phase and ready replicas."""
        view: dict[str, Any] = json.loads(self.command("get", SERVICE, "-o", "json"))[0]
        return view["phase"], view["ready"]

    def engines(self) -> list[psutil.Process]:
        """Return the engine's processes: vLLM is a few of them."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def asleep(self) -> bool:
        """Nothing runs, and `hearth get` says so."""
        return not self.engines() and self.get() == ("ScaledToZero", 0)


def alive(process: psutil.Process) -> bool:
    """Whether it runs. An orphan that has ended stays a zombie until process 1 takes notice, which is not our business."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def eventually(look: Callable[[], Seen | None], complaint: str, seconds: float) -> Seen:
    """Return what `look` returns once it is not None or False."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if seen := look():
            return seen
        time.sleep(0.2)
    raise DemoError(f"{complaint} within {seconds:g} s")


def stream(
    client: openai.OpenAI,
    tokens: int,
    *,
    on_heartbeat: Callable[[str], None] = lambda line: None,
    on_token: Callable[[int], None] = lambda count: None,
) -> Answer:
    """Stream `tokens` tokens, line by line as the client receives them. Raises openai.OpenAIError on an error."""
    answer, sent = Answer(), time.monotonic()
    with client.chat.completions.with_streaming_response.create(
        model=SERVICE,
        stream=True,
        stream_options={"include_usage": True},
        max_tokens=tokens,
        extra_body={"ignore_eos": True},
        messages=[{"role": "user", "content": "Tell me a long story."}],
    ) as response:
        answer.head_after = time.monotonic() - sent
        for line in response.iter_lines():
            if line.startswith(":"):
                answer.heartbeats += 1
                on_heartbeat(line)
            elif line == "data: [DONE]":
                answer.done = True
            elif line.startswith("data: "):
                _add(answer, json.loads(line.removeprefix("data: ")), time.monotonic() - sent)
                on_token(answer.tokens)
    answer.took = time.monotonic() - sent
    return answer


def _add(answer: Answer, event: dict[str, Any], after: float) -> None:
    if "error" in event:
        raise DemoError(f"the stream reported an error: {event['error']}")
    for choice in event["choices"]:
        answer.text += choice["delta"].get("content") or ""
        answer.finish_reason = choice["finish_reason"] or answer.finish_reason
    if answer.text and not answer.first_after:
        answer.first_after = after
    if usage := event.get("usage"):  # the last event counts exactly; an event may carry more than one token
        answer.tokens = usage["completion_tokens"]
    elif answer.text:
        answer.tokens += 1


def cold(client: openai.OpenAI, hearth: Hearth, timeline: Timeline) -> None:
    """Wake the model with a stream, and print when what came."""
    timeline.say("cold stream: sent")
    answer = stream(client, COLD_TOKENS, on_heartbeat=lambda line: timeline.say(f"  heartbeat  {line}"))
    answer.check("cold stream", COLD_TOKENS)
    if not answer.heartbeats:
        raise DemoError("cold stream: no heartbeat came while it was held")
    timeline.say(
        f"  status 200 after {answer.head_after:.2f} s, {answer.heartbeats} heartbeats, "
        f"first token after {answer.first_after:.1f} s, [DONE]"
    )
    timeline.say(f"  {answer.tokens} real tokens: {' '.join(answer.text.split())[:70]!r}...")
    phase, ready = hearth.get()
    timeline.say(f"  hearth get: {phase}, {ready} ready, {len(hearth.engines())} processes of vLLM")


def warm(client: openai.OpenAI, timeline: Timeline) -> float:
    """Ask the awake model, and return its tokens per second."""
    sent = time.monotonic()
    whole = client.chat.completions.create(
        model=SERVICE, max_tokens=COLD_TOKENS, messages=[{"role": "user", "content": "Hello!"}]
    )
    if not whole.usage or not whole.usage.completion_tokens or not whole.choices[0].message.content:
        raise DemoError(f"warm request: a wrong answer: {whole}")
    timeline.say(f"warm request: {whole.usage.completion_tokens} tokens after {time.monotonic() - sent:.2f} s")
    sent = time.monotonic()
    chunks = list(
        client.chat.completions.create(
            model=SERVICE, stream=True, max_tokens=COLD_TOKENS, messages=[{"role": "user", "content": "Hello!"}]
        )
    )
    if chunks[-1].choices[0].finish_reason not in ("stop", "length"):
        raise DemoError(f"warm stream: it ends with {chunks[-1]}")
    timeline.say(f"warm stream: {len(chunks)} chunks after {time.monotonic() - sent:.2f} s")
    longer = stream(client, 10 * COLD_TOKENS)
    longer.check("longer warm stream", 10 * COLD_TOKENS)
    timeline.say(f"warm stream: {longer.tokens} tokens, {longer.rate:.0f} per second")
    return longer.rate


def sleep(hearth: Hearth, timeline: Timeline) -> None:
    """Nobody asks, so the engine ends."""
    idle = time.monotonic()
    eventually(hearth.asleep, "the model did not go to sleep", SLEEP_SECONDS)
    timeline.say(f"idle: back to zero after {time.monotonic() - idle:.1f} s (cooldown 5 s), no process of vLLM left")


def interrupted(client: openai.OpenAI, hearth: Hearth, rate: float, timeline: Timeline) -> None:
    """SIGTERM to `hearth up` in the middle of a long stream: the stream ends as it should, then everything ends."""
    sent = time.monotonic()
    client.chat.completions.create(model=SERVICE, max_tokens=1, messages=[{"role": "user", "content": "Wake up."}])
    timeline.say(
        f"second wake: a request without stream, held silently, answered after {time.monotonic() - sent:.1f} s"
    )
    tokens = max(100, min(CONTEXT_TOKENS, round(rate * LONG_SECONDS)))
    at, engines = tokens // 4, hearth.engines()
    signalled = 0.0

    def terminate(count: int) -> None:
        nonlocal signalled
        if count >= at and not signalled:
            signalled = time.monotonic()
            hearth.process.send_signal(signal.SIGTERM)
            timeline.say(f"  SIGTERM to hearth up after {count} of {tokens} tokens")

    timeline.say(f"long stream: {tokens} tokens")
    answer = stream(client, tokens, on_token=terminate)
    answer.check("long stream", tokens)
    timeline.say(
        f"  all {answer.tokens} tokens, finish_reason {answer.finish_reason!r}, [DONE], "
        f"{time.monotonic() - signalled:.1f} s after the signal"
    )
    code = hearth.process.wait(SLEEP_SECONDS)  # vLLM takes some seconds to end its workers
    left = [each for each in engines if alive(each)]
    if code or left:
        raise DemoError(f"`hearth up` ended with exit code {code}, processes left: {left}")
    timeline.say(f"hearth up ended {time.monotonic() - signalled:.1f} s after the signal, no process left")


def demo(hearth: Hearth, timeline: Timeline) -> None:
    """Every step, in order. Raises DemoError at the first that does not happen."""
    url = hearth.url()
    if not hearth.asleep():
        raise DemoError(f"expected nothing to run, found {hearth.get()} and {hearth.engines()}")
    timeline.say(f"hearth up: {url} serves model `{SERVICE}`; 0 replicas, 0 processes")
    with openai.OpenAI(base_url=url, api_key="unused", max_retries=0, timeout=START_SECONDS) as client:
        cold(client, hearth, timeline)
        rate = warm(client, timeline)
        sleep(hearth, timeline)
        interrupted(client, hearth, rate, timeline)


def end(hearth: Hearth) -> None:
    """Leave nothing behind, whatever happened."""
    if hearth.process.poll() is None:
        hearth.process.send_signal(signal.SIGINT)
        try:
            hearth.process.wait(90)
        except subprocess.TimeoutExpired:
            for engine in hearth.engines():
                engine.kill()
            hearth.process.kill()


def main() -> None:
    """Run the loop with the model of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path, help="the directory that make_model.py wrote")
    options = parser.parse_args()
    timeline = Timeline()
    with tempfile.TemporaryDirectory(prefix="hearth-demo-") as folder:
        hearth = Hearth(Path(folder), options.model)
        try:
            demo(hearth, timeline)
        except (DemoError, openai.OpenAIError, subprocess.TimeoutExpired) as error:
            print(f"error: the demo failed: {error}", file=sys.stderr)
            print(f"what `hearth up` said:\n{hearth.log()}", file=sys.stderr)
            if hearth.process.poll() is None:
                print(f"the engine's log ends with:\n{hearth.command('logs', SERVICE)[-4000:]}", file=sys.stderr)
            sys.exit(1)
        finally:
            end(hearth)
    timeline.say("all of it happened")


if __name__ == "__main__":
    main()
