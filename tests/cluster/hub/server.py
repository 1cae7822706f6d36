"""A hub of models that speaks the download protocol of Hugging Face, and counts what is asked of it.

    python server.py [--listen HOST:PORT] [--model ORG/NAME ...] [--size BYTES] [--cut N]

    GET    /requests   {"ORG/NAME": {"FILE": {"HEAD": n, "GET": n, "bytes": n}, "": {"GET": n}}}; "" is the API
    DELETE /requests   count from 0

Small files are answered at once, large ones by a redirect to their content, as the hub does. `--cut N` ends the first N
downloads of large files in the middle, so that a client has to go on from there.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
import tempfile
from collections import Counter, defaultdict
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path
from typing import Any

from aiohttp import web
from weights import LARGE, digest, git_digest, make_model

REVISION = "main"
PIECE = 1 << 16


@dataclass(frozen=True)
class File:
    """One file of a repository."""

    path: Path
    name: str
    large: bool

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    @property
    def etag(self) -> str:
        return (digest if self.large else git_digest)(self.path.read_bytes())

    def listing(self) -> dict[str, Any]:
        """As the hub's tree has it."""
        entry: dict[str, Any] = {"type": "file", "path": self.name, "size": self.size, "oid": self.etag[:40]}
        return entry | ({"lfs": {"oid": self.etag, "size": self.size, "pointerSize": 134}} if self.large else {})


class Repository:
    """One model, with one commit."""

    def __init__(self, name: str, directory: Path, size: int) -> None:
        self.name = name
        made = make_model(directory, name, size)
        self.files = {path: File(file, path, path.endswith(LARGE)) for path, file in made.items()}
        self.commit = sha1("".join(file.etag for file in self.files.values()).encode()).hexdigest()

    def information(self) -> dict[str, Any]:
        return {
            "id": self.name,
            "modelId": self.name,
            "sha": self.commit,
            "private": False,
            "gated": False,
            "disabled": False,
            "tags": [],
            "siblings": [{"rfilename": path} for path in self.files],
        }


class Hub:
    """The server."""

    def __init__(self, repositories: list[Repository], cuts: int) -> None:
        self._repositories = {repository.name: repository for repository in repositories}
        self._cuts = cuts
        self._counts: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))

    def application(self) -> web.Application:
        application = web.Application()
        model = "{model:[^/]+(?:/[^/]+)?}"
        application.router.add_get("/health", self._health)
        application.router.add_get("/requests", self._requests, allow_head=False)
        application.router.add_delete("/requests", self._reset)
        application.router.add_get(f"/api/models/{model}/revision/{{revision}}", self._information)
        application.router.add_get(f"/api/models/{model}/tree/{{revision}}", self._tree)
        application.router.add_get(f"/api/models/{model}", self._information)
        application.router.add_get(f"/{model}/resolve/{{revision}}/{{file:.+}}", self._resolve)
        application.router.add_get(f"/content/{model}/{{revision}}/{{file:.+}}", self._content)
        return application

    async def _health(self, _request: web.Request) -> web.Response:
        return web.Response()

    async def _requests(self, _request: web.Request) -> web.Response:
        return web.json_response(self._counts)

    async def _reset(self, _request: web.Request) -> web.Response:
        self._counts.clear()
        return web.Response(status=204)

    async def _information(self, request: web.Request) -> web.Response:
        return web.json_response(self._find(request).information())

    async def _tree(self, request: web.Request) -> web.Response:
        return web.json_response([file.listing() for file in self._find(request).files.values()])

    async def _resolve(self, request: web.Request) -> web.StreamResponse:
        repository = self._find(request)
        file = self._file(request, repository)
        headers = {"X-Repo-Commit": repository.commit, "ETag": f'"{file.etag}"'}
        if not file.large:
            return await self._send(request, file, headers)
        place = request.url.origin() / "content" / repository.name / repository.commit / file.name
        linked = {"X-Linked-ETag": f'"{file.etag}"', "X-Linked-Size": str(file.size), "Location": str(place)}
        return web.Response(status=302, headers=headers | linked)

    async def _content(self, request: web.Request) -> web.StreamResponse:
        """Where large files lie. A client that stays on one host looks for the commit here too."""
        repository = self._find(request)
        file = self._file(request, repository)
        return await self._send(request, file, {"X-Repo-Commit": repository.commit, "ETag": f'"{file.etag}"'})

    async def _send(self, request: web.Request, file: File, headers: dict[str, str]) -> web.StreamResponse:
        data = await asyncio.to_thread(file.path.read_bytes)
        wanted = request.http_range  # raises ValueError, answered with 400 below
        start, stop, _ = slice(wanted.start, wanted.stop).indices(len(data))
        part = data[start:stop]
        ranged = {"Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"} if "Range" in request.headers else {}
        response = web.StreamResponse(
            status=206 if ranged else 200, headers=headers | ranged | {"Accept-Ranges": "bytes"}
        )
        response.content_length = len(part)
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        cut = file.large and self._cuts > 0
        self._cuts -= cut
        count = self._counts[self._find(request).name][file.name]
        for at in range(0, len(part) // 2 if cut else len(part), PIECE):
            piece = part[at : at + PIECE]
            await response.write(piece)
            count["bytes"] += len(piece)
        if cut and request.transport is not None:
            request.transport.close()
        return response

    def _find(self, request: web.Request) -> Repository:
        name, revision = request.match_info["model"], request.match_info.get("revision", REVISION)
        repository = self._repositories.get(name)
        if repository is None:
            raise _missing("RepoNotFound", f"there is no model {name}")
        if not request.get("counted"):
            request["counted"] = True
            self._counts[name][request.match_info.get("file", "")][request.method] += 1
        if revision not in (REVISION, repository.commit):
            raise _missing("RevisionNotFound", f"{name} has no revision {revision}")
        return repository

    def _file(self, request: web.Request, repository: Repository) -> File:
        file = repository.files.get(request.match_info["file"])
        if file is None:
            raise _missing("EntryNotFound", f"{repository.name} has no file {request.match_info['file']}")
        return file


def _missing(code: str, message: str) -> web.HTTPNotFound:
    return web.HTTPNotFound(headers={"X-Error-Code": code, "X-Error-Message": message})


async def serve(listen: str, names: list[str], size: int, cuts: int) -> None:
    """Serve until SIGTERM or SIGINT; the first line of output names the address."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with tempfile.TemporaryDirectory() as directory:
        repositories = [Repository(name, Path(directory) / name, size) for name in names]
        runner = web.AppRunner(Hub(repositories, cuts).application(), access_log=None, shutdown_timeout=1)
        await runner.setup()
        try:
            host, _, port = listen.rpartition(":")
            site = web.TCPSite(runner, host or None, int(port))
            await site.start()
            bound = runner.addresses[0]
            sys.stdout.write(f"listening on http://{bound[0]}:{bound[1]} with {', '.join(names)}\n")
            sys.stdout.flush()
            await stop.wait()
        finally:
            await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description="A hub of tiny models that counts its downloads.")
    parser.add_argument("--listen", default=":8000", help="default :8000; port 0 takes a free one")
    parser.add_argument("--model", action="append", help="ORG/NAME, more than once for more (acme/tiny)")
    parser.add_argument("--size", type=int, default=4 << 20, help="bytes of weights (4 MiB)")
    parser.add_argument("--cut", type=int, default=0, help="end the first N downloads of large files in the middle")
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(options.listen, options.model or ["acme/tiny"], options.size, options.cut))


if __name__ == "__main__":
    main()
