"""The HTTP surface: routes, authorisation, answers, and the faults that a request can ask for."""

import asyncio
import os
import socket
import struct
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from time import monotonic
from typing import Any

from aiohttp import web
from prometheus_client.exposition import choose_encoder

from vllm_stub import VERSION, shapes, tokens
from vllm_stub.control import Control
from vllm_stub.engine import Engine, EngineAsleepError, EngineDeadError, QueueFullError, Work
from vllm_stub.errors import (
    DEAD_ANSWER,
    ApiError,
    bad_value,
    error_body,
    error_event,
    framework,
    schema_error,
    unauthorized,
)
from vllm_stub.faults import HEADER, QUERY, Fault, FaultError, Faults
from vllm_stub.metrics import Metrics
from vllm_stub.options import Options
from vllm_stub.requests import Generation, chat_tokens, check_model, parse_body, parse_chat, parse_completion
from vllm_stub.shapes import ChatDialect, CompletionDialect, Dialect, Reply

GUARDED = ("/v1", "/v2", "/inference", "/cohere")
UNCOUNTED = frozenset({"/health", "/metrics", "/load", "/ping", "/version", "/control"})
JSON_TYPE = "application/json"
STREAM_TYPE = "text/event-stream; charset=utf-8"
BASE_HEADERS = {"Server": "uvicorn", "Vary": "Origin"}

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Parser = Callable[[Mapping[str, Any], Options, int], Generation]


class Api:
    """Handlers over one engine. `handle` is what the web server calls for every request."""

    def __init__(self, options: Options, engine: Engine, metrics: Metrics, faults: Faults) -> None:
        self.options = options
        self.engine = engine
        self.metrics = metrics
        self.faults = faults
        self.control = Control(engine, metrics, faults)
        self._load = 0
        self._routes = self._make_routes()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Route one request, and count it as the real server's middleware does."""
        started = monotonic()
        path = request.path
        methods = self._routes.get(path)
        status = 499
        response: web.StreamResponse | None = None
        try:
            response = await self._answer(request, path, methods)
            status = response.status
            return response
        finally:
            if path not in UNCOUNTED:
                sent = response.content_length if response is not None else None
                self.metrics.http(
                    request.method,
                    path if methods else "none",
                    status,
                    request.content_length or 0,
                    sent or 0,
                    monotonic() - started,
                )
                if self.options.access_log:
                    peer = request.transport.get_extra_info("peername") if request.transport else None
                    where = f"{peer[0]}:{peer[1]}" if peer else "gone"
                    sys.stdout.write(f'INFO:     {where} - "{request.method} {request.path_qs} HTTP/1.1" {status}\n')
                    sys.stdout.flush()

    async def _answer(
        self, request: web.BaseRequest, path: str, methods: Mapping[str, Handler] | None
    ) -> web.StreamResponse:
        try:
            if self.options.api_keys and path.startswith(GUARDED) and not self._authorised(request):
                raise unauthorized()
            if methods is None:
                raise framework(404, "Not Found")
            handler = methods.get(request.method)
            if handler is None:
                raise framework(405, "Method Not Allowed", {"Allow": ", ".join(methods)})
            return await handler(request)
        except ApiError as error:
            return _json(error.body, error.status, error.headers)

    def _make_routes(self) -> dict[str, dict[str, Handler]]:
        routes: dict[str, dict[str, Handler]] = {
            "/health": {"GET": self._health},
            "/ping": {"GET": self._health, "POST": self._health},
            "/version": {"GET": self._version},
            "/load": {"GET": self._server_load},
            "/metrics": {"GET": self._metrics},
            "/v1/models": {"GET": self._models},
            "/tokenize": {"POST": self._tokenize},
            "/detokenize": {"POST": self._detokenize},
            "/control": {"GET": self._control, "POST": self._control},
        }
        if not self.options.pooling:
            routes |= {
                "/v1/chat/completions": {"POST": self._inference(parse_chat, ChatDialect)},
                "/v1/completions": {"POST": self._inference(parse_completion, CompletionDialect)},
            }
        return routes

    def _authorised(self, request: web.BaseRequest) -> bool:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        return scheme.lower() == "bearer" and key in self.options.api_keys

    async def _health(self, _request: web.BaseRequest) -> web.StreamResponse:
        await self.control.health_gate()
        return web.Response(status=503 if self.engine.dead.is_set() else 200, headers=BASE_HEADERS)

    async def _version(self, _request: web.BaseRequest) -> web.StreamResponse:
        return _json({"version": VERSION})

    async def _server_load(self, _request: web.BaseRequest) -> web.StreamResponse:
        return _json({"server_load": self._load if self.options.track_load else 0})

    async def _metrics(self, request: web.BaseRequest) -> web.StreamResponse:
        self.metrics.refresh(self.engine)
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self.metrics.registry), headers={**BASE_HEADERS, "Content-Type": content_type})

    async def _models(self, _request: web.BaseRequest) -> web.StreamResponse:
        return _json(shapes.models(self.options.served_names, self.options.model, self.options.max_model_len))

    async def _tokenize(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await _read(request)
        check_model(body, self.options)
        if isinstance(body.get("messages"), list):
            ids = list(range(chat_tokens(body["messages"])))
        elif isinstance(body.get("prompt"), str):
            ids = tokens.encode(body["prompt"])
        else:
            raise schema_error("missing", "body.prompt", "Field required", body)
        return _json(
            {
                "count": len(ids),
                "max_model_len": self.options.max_model_len,
                "tokens": ids,
                "token_strs": [tokens.decode([number]) for number in ids] if body.get("return_token_strs") else None,
            }
        )

    async def _detokenize(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await _read(request)
        check_model(body, self.options)
        ids = body.get("tokens")
        if not isinstance(ids, list) or not all(isinstance(number, int) and number >= 0 for number in ids):
            raise schema_error("missing", "body.tokens", "Field required", body)
        return _json({"prompt": tokens.decode(ids)})

    async def _control(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "POST":
            self.control.apply(await _read(request, any_type=True))
        return _json(self.control.state())

    def _inference(self, parse: Parser, dialect: Callable[[Reply], Dialect]) -> Handler:
        async def handler(request: web.BaseRequest) -> web.StreamResponse:
            self._load += 1
            self.control.requests += 1
            try:
                return await self._generate(request, parse, dialect)
            finally:
                self._load -= 1

        return handler

    async def _generate(
        self, request: web.BaseRequest, parse: Parser, make_dialect: Callable[[Reply], Dialect]
    ) -> web.StreamResponse:
        data = await request.content.read()
        fault = self._pick_fault(request)
        if fault is not None and fault.early and await _strike_early(request, fault):
            return web.Response()
        body = parse_body(request.headers.get("Content-Type", ""), data)
        generation = parse(body, self.options, self._token_count(request))
        reply = Reply(
            model=self.options.name,
            request_id=request.headers.get("X-Request-Id") or shapes.random_id(),
            prompt_tokens=generation.prompt_tokens,
            width=generation.width,
            include_usage=generation.include_usage,
            continuous_usage=generation.continuous_usage,
        )
        headers = dict(BASE_HEADERS)
        if self.options.request_id_headers:
            headers["X-Request-Id"] = reply.request_id
        work = Work(
            prompt_tokens=generation.prompt_tokens,
            count=generation.count,
            finish=generation.finish,
            width=generation.width,
            max_tokens=generation.max_tokens,
        )
        answer = self._stream if generation.stream else self._unary
        try:
            return await answer(request, make_dialect(reply), work, fault, headers)
        except ConnectionError:
            # the client went away (or a fault cut it) between two writes; nobody is left to answer
            return web.Response()

    async def _stream(
        self,
        request: web.BaseRequest,
        dialect: Dialect,
        work: Work,
        fault: Fault | None,
        headers: Mapping[str, str],
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={**headers, "Content-Type": STREAM_TYPE})
        failure: Exception | None = None
        try:
            self.engine.admit(work.width)
        except QueueFullError as error:
            raise _busy(error) from error
        except (EngineDeadError, EngineAsleepError) as error:
            failure = error
        response.enable_chunked_encoding()
        await response.prepare(request)
        if failure is not None:
            await _write(response, dialect.failure(_failure_event(failure)))
            return response
        comments = self._start_comments(response)
        try:
            return await self._stream_tokens(request, response, dialect, work, fault)
        except EngineDeadError as error:
            await _write(response, dialect.failure(_failure_event(error)))
            return response
        finally:
            if comments is not None:
                comments.cancel()

    async def _stream_tokens(
        self,
        request: web.BaseRequest,
        response: web.StreamResponse,
        dialect: Dialect,
        work: Work,
        fault: Fault | None,
    ) -> web.StreamResponse:
        opened = False
        async with aclosing(self.engine.run(work)) as outputs:
            if fault is not None and fault.after == 0 and await self._strike(request, response, dialect, work, fault):
                return response
            async for outcome in outputs:
                if not opened:
                    await _write(response, dialect.opening())
                    opened = True
                if outcome is None:
                    await _write(response, dialect.token(work.produced - 1))
                else:
                    last = work.produced - 1 if outcome == "length" else None
                    await _write(response, dialect.ending(last, outcome, work.produced))
                    return response
                if (
                    fault is not None
                    and fault.after == work.produced
                    and await self._strike(request, response, dialect, work, fault)
                ):
                    return response
        return response

    async def _unary(
        self,
        request: web.BaseRequest,
        dialect: Dialect,
        work: Work,
        fault: Fault | None,
        headers: Mapping[str, str],
    ) -> web.StreamResponse:
        try:
            self.engine.admit(work.width)
            async with aclosing(self.engine.run(work)) as outputs:
                reason = await self._collect(request, outputs, work, fault)
        except QueueFullError as error:
            raise _busy(error) from error
        except EngineAsleepError as error:
            raise ApiError(503, error_body(str(error), "ServiceUnavailableError", 503)) from error
        except EngineDeadError as error:
            raise ApiError(500, error_body(DEAD_ANSWER, "InternalServerError", 500)) from error
        data = shapes.dump(dialect.body(work.produced, reason))
        if fault is not None and fault.name in ("reset", "cut"):
            response = web.StreamResponse(headers={**headers, "Content-Type": JSON_TYPE})
            response.content_length = len(data)
            await response.prepare(request)
            await response.write(data[: len(data) // 2])
            _disconnect(request, reset=fault.name == "reset")
            return response
        return web.Response(body=data, headers={**headers, "Content-Type": JSON_TYPE})

    async def _collect(
        self, request: web.BaseRequest, outputs: AsyncGenerator[str | None], work: Work, fault: Fault | None
    ) -> str:
        """The finish reason of a unary request, whose faults strike before any byte of the answer."""
        async for outcome in outputs:
            if fault is not None and fault.after in (0, work.produced):
                await self._strike_unary(request, work, fault)
            if outcome is not None:
                return outcome
        raise EngineDeadError("the engine ended a request without a reason")

    def _start_comments(self, response: web.StreamResponse) -> asyncio.Task[None] | None:
        interval = self.options.keep_alive_interval
        if interval <= 0:
            return None

        async def comment() -> None:
            while True:
                await asyncio.sleep(interval)
                await response.write(b": keep-alive\n\n")

        return asyncio.create_task(comment())

    async def _strike(
        self,
        request: web.BaseRequest,
        response: web.StreamResponse,
        dialect: Dialect,
        work: Work,
        fault: Fault,
    ) -> bool:
        """Apply a fault inside a stream; True when the stream is over."""
        match fault.name:
            case "error":
                await _write(response, dialect.failure(error_event("Internal server error")))
            case "abort":
                await _write(response, dialect.ending(None, "abort", work.produced))
            case "truncate":
                pass
            case "cut":
                _disconnect(request, reset=False)
            case "reset":
                _write_half_chunk(request, dialect.token(work.produced)[0])
                _disconnect(request, reset=True)
            case "exit":
                os._exit(1)
            case "die":
                self.engine.die()
                return False
            case "hang":
                await self.engine.hang(work, fault.seconds)
                return False
            case _:
                return False
        return True

    async def _strike_unary(self, request: web.BaseRequest, work: Work, fault: Fault) -> None:
        match fault.name:
            case "error":
                raise ApiError(500, error_body("Internal server error", "InternalServerError", 500))
            case "abort":
                work.end = "abort"
            case "exit":
                os._exit(1)
            case "die":
                self.engine.die()
            case "hang":
                await self.engine.hang(work, fault.seconds)

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


async def _read(request: web.BaseRequest, *, any_type: bool = False) -> dict[str, Any]:
    # the stream is read as it is: BaseRequest.read() would refuse bodies above 1 MiB
    content_type = JSON_TYPE if any_type else request.headers.get("Content-Type", "")
    return parse_body(content_type, await request.content.read())


async def _write(response: web.StreamResponse, events: Any) -> None:
    for event in events:
        await response.write(event)


async def _strike_early(request: web.BaseRequest, fault: Fault) -> bool:
    """A fault before the headers; True when the connection is gone."""
    match fault.name:
        case "status":
            raise ApiError(fault.status, error_body(*_status_words(fault.status), fault.status))
        case "hang-headers":
            await asyncio.sleep(fault.seconds if fault.seconds is not None else float("inf"))
            return False
        case "exit":
            os._exit(1)
        case _:
            _disconnect(request, reset=fault.name == "reset")
            return True


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


def _json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    if value is None:
        return web.Response(status=status, headers=BASE_HEADERS)
    return web.Response(
        body=shapes.dump(value), status=status, headers={**BASE_HEADERS, **(headers or {}), "Content-Type": JSON_TYPE}
    )
