"""Inference requests: parse, run on the engine, write the answer, and strike with the fault that was asked for."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from vllm_stub import dialects
from vllm_stub.dialects import Dialect, Reply
from vllm_stub.engine import Engine, EngineAsleepError, EngineDeadError, QueueFullError
from vllm_stub.errors import DEAD_ANSWER, ApiError, bad_value, error_body, error_event
from vllm_stub.faults import HEADER, QUERY, Fault, FaultError, Faults
from vllm_stub.options import Options
from vllm_stub.requests import Generation, parse_body
from vllm_stub.work import Work

JSON_TYPE = "application/json"
STREAM_TYPE = "text/event-stream; charset=utf-8"
BASE_HEADERS = {"Server": "uvicorn", "Vary": "Origin"}
FOREVER = float("inf")

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Parser = Callable[[Mapping[str, Any], Options, int], Generation]
Speaker = Callable[[Reply, Mapping[str, Any]], Dialect]


@dataclass(frozen=True, slots=True)
class Job:
    """One inference request on its way."""

    request: web.BaseRequest
    work: Work
    dialect: Dialect
    fault: Fault | None
    headers: Mapping[str, str]


class Inference:
    """Makes one handler per API; counts the requests and how many are open."""

    def __init__(self, options: Options, engine: Engine, faults: Faults) -> None:
        self.options = options
        self.engine = engine
        self.faults = faults
        self.requests = 0
        self.open = 0

    def handler(self, parse: Parser, speak: Speaker) -> Handler:
        """Return a handler for an API that is read by `parse` and answered by `speak`'s dialect."""

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            self.requests += 1
            self.open += 1
            try:
                return await self._handle(request, parse, speak)
            except ConnectionError:
                # the client went away, or a fault cut it, between two writes; nobody is left to answer
                return web.Response()
            finally:
                self.open -= 1

        return handle

    async def _handle(self, request: web.BaseRequest, parse: Parser, speak: Speaker) -> web.StreamResponse:
        data = await read_data(request)
        fault = self._pick_fault(request)
        if fault is not None and fault.early:
            await _strike_early(request, fault)
        body = parse_body(request.headers.get("Content-Type", ""), data)
        generation = parse(body, self.options, self._token_count(request))
        reply = Reply(
            model=self.options.name,
            request_id=request.headers.get("X-Request-Id") or dialects.random_id(),
            prompt_tokens=generation.prompt_tokens,
            max_tokens=generation.max_tokens,
            width=generation.width,
            include_usage=generation.include_usage,
            continuous_usage=generation.continuous_usage,
        )
        work = Work(
            prompt_tokens=generation.prompt_tokens,
            count=generation.count,
            finish=generation.finish,
            width=generation.width,
            max_tokens=generation.max_tokens,
        )
        headers = dict(BASE_HEADERS)
        if self.options.request_id_headers:
            headers["X-Request-Id"] = reply.request_id
        job = Job(request, work, speak(reply, body), fault, headers)
        return await (self._stream(job) if generation.stream else self._unary(job))

    async def _stream(self, job: Job) -> web.StreamResponse:
        """Stream the answer; its headers go out before the engine answers, so later failures are events."""
        failure: Exception | None = None
        try:
            self.engine.admit(job.work.width)
        except QueueFullError as error:
            raise _busy(error) from error
        except (EngineDeadError, EngineAsleepError) as error:
            failure = error
        response = web.StreamResponse(headers={**job.headers, "Content-Type": STREAM_TYPE})
        response.enable_chunked_encoding()
        await response.prepare(job.request)
        if failure is None:
            comments = self._start_comments(response)
            try:
                await self._stream_tokens(job, response)
            except EngineDeadError as error:
                failure = error
            finally:
                if comments is not None:
                    comments.cancel()
        if failure is not None:
            await _write(response, job.dialect.failure(_failure_event(failure)))
        return response

    async def _stream_tokens(self, job: Job, response: web.StreamResponse) -> None:
        work, dialect = job.work, job.dialect
        await _write(response, dialect.greeting())
        if _due(job) and await self._strike(job, response):
            return
        opened = False
        async with aclosing(self.engine.run(work)) as outputs:
            async for outcome in outputs:
                if not opened:
                    await _write(response, dialect.opening())
                    opened = True
                if outcome is not None:
                    last = work.produced - 1 if outcome == "length" else None
                    await _write(response, dialect.ending(last, outcome, work.produced))
                    return
                await _write(response, dialect.token(work.produced - 1))
                if _due(job) and await self._strike(job, response):
                    return

    async def _unary(self, job: Job) -> web.StreamResponse:
        try:
            self.engine.admit(job.work.width)
            if _due(job):
                await self._strike_unary(job)
            async with aclosing(self.engine.run(job.work)) as outputs:
                reason = await self._finish_reason(job, outputs)
        except QueueFullError as error:
            raise _busy(error) from error
        except EngineAsleepError as error:
            raise ApiError(503, error_body(str(error), "ServiceUnavailableError", 503)) from error
        except EngineDeadError as error:
            raise ApiError(500, error_body(DEAD_ANSWER, "InternalServerError", 500)) from error
        data = dialects.dump(job.dialect.body(job.work.produced, reason))
        headers = {**job.headers, "Content-Type": JSON_TYPE}
        if job.fault is None or job.fault.name not in ("reset", "cut"):
            return web.Response(body=data, headers=headers)
        response = web.StreamResponse(headers=headers)
        response.content_length = len(data)
        await response.prepare(job.request)
        await response.write(data[: len(data) // 2])
        _disconnect(job.request, reset=job.fault.name == "reset")
        return response

    async def _finish_reason(self, job: Job, outputs: AsyncGenerator[str | None]) -> str:
        async for outcome in outputs:
            if outcome is not None:
                return outcome
            if _due(job):
                await self._strike_unary(job)
        raise AssertionError("the engine always says how a work ended")

    async def _strike(self, job: Job, response: web.StreamResponse) -> bool:
        """Apply a fault inside a stream; True when the stream is over."""
        assert job.fault is not None
        match job.fault.name:
            case "die":
                self.engine.die()
                return False
            case "hang":
                await self.engine.hang(job.work, job.fault.seconds)
                return False
            case "exit":
                os._exit(1)
            case "error":
                await _write(response, job.dialect.failure(error_event("Internal server error")))
            case "abort":
                await _write(response, job.dialect.ending(None, "abort", job.work.produced))
            case "cut":
                _disconnect(job.request, reset=False)
            case "reset":
                _write_half_chunk(job.request, job.dialect.token(job.work.produced)[0])
                _disconnect(job.request, reset=True)
        return True  # as after "truncate", which just ends

    async def _strike_unary(self, job: Job) -> None:
        """Apply a fault before any byte of a unary answer; "reset" and "cut" come with the answer's first half."""
        assert job.fault is not None
        match job.fault.name:
            case "die":
                self.engine.die()
            case "hang":
                await self.engine.hang(job.work, job.fault.seconds)
            case "exit":
                os._exit(1)
            case "error":
                raise ApiError(500, error_body("Internal server error", "InternalServerError", 500))
            case "abort":
                job.work.end = "abort"

    def _start_comments(self, response: web.StreamResponse) -> asyncio.Task[None] | None:
        """Write the engine's own comment lines, when --sse-keep-alive-interval asks for them."""
        interval = self.options.keep_alive_interval
        if interval <= 0:
            return None

        async def comment() -> None:
            while True:
                await asyncio.sleep(interval)
                await response.write(b": keep-alive\n\n")

        return asyncio.create_task(comment())

    def _pick_fault(self, request: web.BaseRequest) -> Fault | None:
        try:
            return self.faults.pick(request.headers.get(HEADER) or request.query.get(QUERY))
        except FaultError as error:
            raise ApiError(400, error_body(str(error), "BadRequestError", 400, HEADER)) from error

    def _token_count(self, request: web.BaseRequest) -> int:
        text = request.query.get("tokens")
        if text is None:
            return self.engine.token_count
        if not text.isdecimal():
            raise bad_value("tokens must be a whole number.", "tokens", text)
        return int(text)


async def read_data(request: web.BaseRequest) -> bytes:
    """Return the whole body, whatever its size (BaseRequest.read() refuses more than 1 MiB)."""
    transport = request.transport
    if transport is not None and request.headers.get("Expect", "").lower() == "100-continue":
        transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return await request.content.read()


def _due(job: Job) -> bool:
    """Return whether the job's fault strikes after as many tokens as were produced."""
    return job.fault is not None and not job.fault.early and job.fault.after == job.work.produced


async def _write(response: web.StreamResponse, events: Iterable[bytes]) -> None:
    for event in events:
        await response.write(event)


async def _strike_early(request: web.BaseRequest, fault: Fault) -> None:
    """Strike with a fault before the headers; raises ApiError or ConnectionError unless the request goes on afterwards."""
    match fault.name:
        case "status":
            message, kind = _status_words(fault.status)
            raise ApiError(fault.status, error_body(message, kind, fault.status))
        case "hang-headers":
            await asyncio.sleep(FOREVER if fault.seconds is None else fault.seconds)
        case "exit":
            os._exit(1)
        case _:
            _disconnect(request, reset=fault.name == "reset")
            raise ConnectionError("cut by a fault")


def _status_words(status: int) -> tuple[str, str]:
    if status == 503:
        return "The engine is currently busy. Please retry later.", "Service Unavailable"
    if status == 429:
        return "Too many requests.", "TooManyRequests"
    return DEAD_ANSWER, "InternalServerError" if status >= 500 else "BadRequestError"


def _busy(error: QueueFullError) -> ApiError:
    return ApiError(503, error_body(str(error), "Service Unavailable", 503))


def _failure_event(error: Exception) -> bytes:
    if isinstance(error, EngineAsleepError):
        return error_event(str(error), "ServiceUnavailableError", 503)
    return error_event(str(error))


def _write_half_chunk(request: web.BaseRequest, event: bytes) -> None:
    if request.transport is not None:
        request.transport.write(b"%x\r\n%b" % (len(event), event[: len(event) // 2]))


def _disconnect(request: web.BaseRequest, *, reset: bool) -> None:
    """Close the connection as it is, by RST or by FIN; written bytes are sent first."""
    transport = request.transport
    if transport is None:
        return
    if not reset:
        transport.close()
        return
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
