"""Real stub processes on free ports, and the recorded answers of a real vLLM."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CAPTURE = Path(__file__).parent / "capture"
CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}]}
STARTED = "Starting vLLM server on "


@dataclass
class Stub:
    """A running process."""

    popen: subprocess.Popen[str]
    url: str = ""

    def wait_started(self) -> None:
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            if STARTED in line:
                self.url = line.partition(STARTED)[2].strip().replace("0.0.0.0", "127.0.0.1")
                return
        raise AssertionError(f"the stub ended with {self.popen.wait()} before it listened")

    def terminate(self) -> None:
        self.popen.send_signal(signal.SIGTERM)

    def close(self) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait()
        assert self.popen.stdout is not None
        self.popen.stdout.close()


def launch(*argv: str, env: dict[str, str] | None = None) -> Stub:
    """Start without waiting; tokens come without delay unless the test says otherwise."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("STUB_", "VLLM_"))}
    popen = subprocess.Popen(
        [sys.executable, "-m", "vllm_stub", "serve", "/models/tiny", "--served-model-name=tiny", "--port=0",
         "--host=127.0.0.1", "--max-model-len=512", "--disable-uvicorn-access-log", *argv],
        env={**clean, "STUB_TOKEN_DELAY": "0s", **(env or {})},
        stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    return Stub(popen)


async def raw(stub: Stub, header: str, *, stream: bool) -> tuple[bytes, type[BaseException] | None]:
    """Return a chat of 4 tokens: everything that comes over the wire, and how the connection ended (None: FIN)."""
    host, port = stub.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = b'{"stream":%b,"messages":[]}' % (b"true" if stream else b"false")
    head = f"POST /v1/chat/completions?tokens=4 HTTP/1.1\r\nHost: x\r\n{header}\r\n"
    writer.write(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    seen = b""
    try:
        while data := await reader.read(65536):
            seen += data
    except ConnectionError as error:
        return seen, type(error)
    finally:
        writer.close()
    return seen, None


def captured(name: str) -> list[dict[str, Any]]:
    return json.loads((CAPTURE / f"{name}.json").read_text())


def events(body: str) -> list[Any]:
    """Return the data of an event stream, parsed; [DONE] and comments stay texts."""
    found = []
    for block in body.split("\n\n"):
        if block.startswith("data: {"):
            found.append(json.loads(block.removeprefix("data: ")))
        elif block:
            found.append(block)
    return found


def content(body: str) -> str:
    """Return the text of a chat stream."""
    deltas = [
        event["choices"][0]["delta"] for event in events(body) if isinstance(event, dict) and event.get("choices")
    ]
    return "".join(delta.get("content", "") for delta in deltas)
