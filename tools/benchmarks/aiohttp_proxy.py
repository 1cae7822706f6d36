"""A plain reverse proxy as most Python gateways are written: aiohttp on both sides, uvloop, no policy at all."""

from __future__ import annotations

import argparse
import asyncio
import signal

import uvloop
from aiohttp import ClientSession, ClientTimeout, TCPConnector, web
from multidict import CIMultiDict

HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "host"})
BACKEND = web.AppKey("backend", str)
SESSION = web.AppKey("session", ClientSession)


async def forward(request: web.Request) -> web.StreamResponse:
    """Read the request, send it on, stream the answer back as it comes."""
    headers = [(name, value) for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP]
    url = request.app[BACKEND] + request.path_qs
    body = await request.read()
    async with request.app[SESSION].request(request.method, url, data=body, headers=headers) as upstream:
        kept = CIMultiDict((name, value) for name, value in upstream.headers.items() if name.lower() not in HOP_BY_HOP)
        if upstream.content_length is not None:
            return web.Response(status=upstream.status, headers=kept, body=await upstream.read())
        answer = web.StreamResponse(status=upstream.status, headers=kept)
        await answer.prepare(request)
        async for data in upstream.content.iter_any():
            await answer.write(data)
        await answer.write_eof()
        return answer


async def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description="A plain aiohttp proxy, a peer of the benchmarks.")
    parser.add_argument("--listen", type=int, required=True, help="port")
    parser.add_argument("--backend", type=int, required=True, help="port")
    options = parser.parse_args()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    connector = TCPConnector(limit=0)
    async with ClientSession(connector=connector, timeout=ClientTimeout(total=None), auto_decompress=False) as session:
        app = web.Application()
        app[BACKEND] = f"http://127.0.0.1:{options.backend}"
        app[SESSION] = session
        app.router.add_route("*", "/{path:.*}", forward)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", options.listen, backlog=4096).start()
        await stop.wait()
        await runner.cleanup()


if __name__ == "__main__":
    uvloop.run(main())
