"""The proxies that are compared, each in front of the same backend port."""

from __future__ import annotations

import http.client
import json
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from tools.benchmarks.backend import ANSWER
from tools.benchmarks.processes import HERE, HOST, BenchmarkError, running, tool

MODEL = "bench"
READY_SECONDS = 20.0

_HAPROXY = """
global
  nbthread 1
  maxconn 4000
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout http-keep-alive 60s
frontend proxy
  bind {host}:{port}
"""


def haproxy_proxy(directory: Path, port: int, backend: int) -> list[str]:
    """HAProxy with one thread. Without http-no-delay it would gather small SSE writes for up to 200 ms."""
    text = _HAPROXY.format(host=HOST, port=port) + (
        f"  option http-no-delay\n  default_backend engine\n"
        f"backend engine\n  option http-no-delay\n  http-reuse always\n  server engine {HOST}:{backend}\n"
    )
    return _haproxy(directory / f"haproxy-{port}.cfg", text)


def haproxy_backend(directory: Path, port: int) -> list[str]:
    """Return the cheapest engine for unary requests: HAProxy that answers by itself."""
    answer = directory / "answer.json"
    answer.write_bytes(ANSWER)
    text = _HAPROXY.format(host=HOST, port=port) + (
        f"  http-request return status 200 content-type application/json file {answer}\n"
    )
    return _haproxy(directory / f"haproxy-backend-{port}.cfg", text)


def _haproxy(file: Path, text: str) -> list[str]:
    file.write_text(text)
    return [tool("haproxy"), "-db", "-q", "-f", str(file)]


def aiohttp_proxy(directory: Path, port: int, backend: int) -> list[str]:
    """Return the plain aiohttp proxy beside this file."""
    return [sys.executable, str(HERE / "aiohttp_proxy.py"), "--listen", str(port), "--backend", str(backend)]


def hearth_gateway(directory: Path, port: int, backend: int) -> list[str]:
    """hearth-gateway with its default limits and all of its policy."""
    return gateway_argv(write_services(directory / f"services-{port}.yaml", [service(backend)]), port)


def service(backend: int, **fields: Any) -> dict[str, Any]:
    """Return an entry of the gateway's services file: the model `bench`, one endpoint."""
    return {"name": MODEL, "endpoints": [{"address": HOST, "port": backend}], **fields}


def write_services(file: Path, services: Sequence[Mapping[str, Any]]) -> Path:
    """Write a services file; JSON is YAML too."""
    file.write_text(json.dumps({"services": list(services)}))
    return file


def gateway_argv(services: Path, port: int, program: str = "") -> list[str]:
    """Return the command that runs the gateway alone."""
    return [program or tool("hearth-gateway"), "--config", str(services), "--listen", f"{HOST}:{port}"]


Peer = Callable[[Path, int, int], list[str]]
"""The command of a proxy, given a directory for its files, its port and that of the backend."""


def hearth_of(checkout: Path) -> Peer:
    """Return the gateway of another checkout, from its `.venv`. Raises BenchmarkError when there is none."""
    program = checkout.resolve() / ".venv" / "bin" / "hearth-gateway"
    if not program.exists():
        raise BenchmarkError(f"{program} does not exist; run `make install` in {checkout}")

    def peer(directory: Path, port: int, backend: int) -> list[str]:
        return gateway_argv(write_services(directory / f"services-{port}.yaml", [service(backend)]), port, str(program))

    return peer


PEERS: dict[str, Peer] = {
    "haproxy": haproxy_proxy,
    "aiohttp": aiohttp_proxy,
    "hearth": hearth_gateway,
}


@contextmanager
def warm(name: str, peer: Peer, directory: Path, port: int, backend: int) -> Iterator[psutil.Process]:
    """Run a peer until the block ends; when it begins the peer has forwarded a request."""
    with running(peer(directory, port, backend), port=port) as process:
        _wait_answer(name, port)
        yield process


def _wait_answer(name: str, port: int) -> None:
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "warm up"}]}).encode()
    url = f"http://{HOST}:{port}/v1/chat/completions"
    request = urllib.request.Request(url, data=body, headers={"content-type": "application/json"})
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            with urllib.request.urlopen(request, timeout=READY_SECONDS) as answer:
                if answer.read() == ANSWER:
                    return
                problem = "an answer that is not the backend's"
        except (http.client.HTTPException, OSError) as error:
            problem = str(error)
        if time.monotonic() > deadline:
            raise BenchmarkError(f"{name} forwards nothing after {READY_SECONDS:.0f} s: {problem}")
        time.sleep(0.1)
