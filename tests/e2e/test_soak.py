"""Two hundred times asleep, woken by ten clients at once, asleep again: nothing lost, doubled, falsely ended or left behind.

HEARTH_SOAK_CYCLES sets the number of cycles (default 200, about five minutes).
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import openai
import psutil
import pytest

from tests.support.waiting import wait_until

CYCLES = int(os.environ.get("HEARTH_SOAK_CYCLES", "200"))
CLIENTS = 10
TOKENS = 5
ANSWER = "Hello 1 2 3 4"
HEARTH = Path(sys.executable).with_name("hearth")
SETTLED_AFTER = 3  # cycles after which file descriptors must not grow any more

MANIFEST = f"""
apiVersion: serving.hearth.dev/v1alpha1
kind: LLMService
metadata: {{name: soak}}
spec:
  model: {{source: {{uri: hf://some/model}}}}
  runtime: {{name: soak}}
  scaling: {{min: 0, max: 2, target: 20, scaleDownStabilization: 0s, drainTimeout: 5s}}
  endpoint: {{coldStart: {{mode: keepalive, heartbeatInterval: 100ms}}}}
---
apiVersion: serving.hearth.dev/v1alpha1
kind: InferenceRuntime
metadata: {{name: soak}}
spec:
  vendor: fake
  container:
    image: stub
    args: [serve, "{{{{ .Model.Path }}}}", "--served-model-name={{{{ .Service.Name }}}}", --shutdown-timeout=5]
    env:
      - {{name: STUB_TOKEN_COUNT, value: "{TOKENS}"}}
      - {{name: STUB_TOKEN_DELAY, value: 5ms}}
  accelerator: {{resourceName: hearth.dev/fake-accelerator}}
  health:
    startup: {{httpGet: {{path: /health, port: http}}, periodSeconds: 1, failureThreshold: 60}}
"""


@dataclass
class Running:
    """A `hearth up` and where to find it."""

    process: psutil.Process
    url: str
    state: Path
    environment: dict[str, str]

    def engines(self) -> list[psutil.Process]:
        return self.process.children(recursive=True)

    def served(self) -> Counter[str]:
        """How often each tagged request reached an engine, by the engines' access logs."""
        text = "".join(path.read_text(errors="replace") for path in self.state.rglob("*") if path.is_file())
        return Counter(re.findall(r"POST /v1/chat/completions\?tag=(\S+) ", text))


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    manifest = tmp_path / "soak.yaml"
    manifest.write_text(MANIFEST)
    state = tmp_path / "state"
    environment = os.environ | {"HEARTH_STATE_DIR": str(state), "TMPDIR": str(tmp_path)}
    log = tmp_path / "up.log"
    command = [HEARTH, "up", "-f", manifest, "--listen", "127.0.0.1:0"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        found = wait_until(
            lambda: re.search(r"Listening on (http://\S+)", log.read_text()), log.read_text, 20, interval=0.05
        )
        yield Running(psutil.Process(process.pid), found[1], state, environment)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0, log.read_text()


async def _ask(client: openai.AsyncOpenAI, tag: str, *, stream: bool) -> None:
    """One request; a wrong answer or any error fails the test."""
    messages = [{"role": "user", "content": tag}]
    if not stream:
        answer = await client.chat.completions.create(model="soak", messages=messages, extra_query={"tag": tag})
        assert answer.choices[0].message.content == ANSWER
        assert answer.choices[0].finish_reason == "stop"
        return
    text, finish = "", None
    chunks = await client.chat.completions.create(
        model="soak", messages=messages, stream=True, extra_query={"tag": tag}
    )
    async for chunk in chunks:
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
    assert (text, finish) == (ANSWER, "stop")


async def _asleep(running: Running) -> None:
    deadline = time.monotonic() + 20
    while running.engines():
        assert time.monotonic() < deadline, "the engine did not end"
        await asyncio.sleep(0.02)


@pytest.mark.slow
@pytest.mark.timeout(1200)
async def test_no_request_is_lost_over_many_sleeps(
    running: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settled: tuple[int, int] | None = None
    started = time.monotonic()
    async with openai.AsyncOpenAI(base_url=running.url, api_key="unused", max_retries=0, timeout=60) as client:
        for cycle in range(CYCLES):
            assert not running.engines(), f"cycle {cycle} does not start asleep"
            async with asyncio.TaskGroup() as group:
                for number in range(CLIENTS):
                    group.create_task(_ask(client, f"{cycle}-{number}", stream=number % 2 == 0))
            await _asleep(running)
            if cycle == SETTLED_AFTER:
                settled = running.process.num_fds(), running.process.memory_info().rss
    if settled is not None:
        files, memory = settled
        assert running.process.num_fds() <= files, "file descriptors are left open"
        grown = (running.process.memory_info().rss - memory) / 1024
        with capsys.disabled():
            seconds = time.monotonic() - started
            print(f"\n{CYCLES} cycles, {CYCLES * CLIENTS} requests, {seconds:.0f} s; memory grew by {grown:.0f} KiB")
    served = running.served()
    assert len(served) == CYCLES * CLIENTS
    assert set(served.values()) == {1}, [tag for tag, count in served.items() if count > 1]
    assert not _leftovers(running)
    stats = json.loads(
        subprocess.run([HEARTH, "get", "-o", "json"], env=running.environment, capture_output=True, check=True).stdout
    )
    assert [service["phase"] for service in stats] == ["ScaledToZero"]


def _leftovers(running: Running) -> list[str]:
    """Sockets of the engines' connections that are still open in the supervisor."""
    return [str(each) for each in running.process.net_connections() if each.status == psutil.CONN_ESTABLISHED]
