"""The HTTP surface: routes, authorisation, and every answer that needs no engine."""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic
from typing import Any

from aiohttp import web
from prometheus_client.exposition import choose_encoder

from vllm_stub import VERSION, dialects, tokens
from vllm_stub.control import Control
from vllm_stub.dialects import ChatDialect, CompletionDialect, EmbeddingDialect
from vllm_stub.engine import Engine
from vllm_stub.errors import ApiError, bad_value, error_body, framework, schema_error, unauthorized
from vllm_stub.events import MessagesDialect, ResponsesDialect
from vllm_stub.faults import Faults
from vllm_stub.inference import BASE_HEADERS, JSON_TYPE, Handler, Inference, read_data
from vllm_stub.metrics import Metrics
from vllm_stub.options import Options
from vllm_stub.output import write_line
from vllm_stub.requests import (
    chat_tokens,
    check_model,
    parse_body,
    parse_chat,
    parse_completion,
    parse_embedding,
    parse_messages,
    parse_responses,
)

GUARDED = ("/v1", "/v2", "/inference", "/cohere")
UNCOUNTED = frozenset({"/health", "/metrics", "/load", "/ping", "/version", "/control"})
"""Paths that neither the HTTP metrics nor the access log see (the first five as in vLLM's metrics)."""
SLEEP_MODES = ("abort", "wait", "keep")
CLOSED_REQUEST = 499
"""What is counted for a client that left before an answer (nothing was sent)."""


class Api:
    """Handlers over one engine. `handle` is what the web server calls for every request."""

    def __init__(self, options: Options, engine: Engine, metrics: Metrics) -> None:
        self.options = options
        self.engine = engine
        self.metrics = metrics
        faults = Faults()
        self._inference = Inference(options, engine, faults)
        self._control = Control(engine, metrics, faults, self._inference)
        self._routes = self._make_routes()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Route one request; count and log it as the real server's middleware does."""
        started = monotonic()
        peer = request.transport.get_extra_info("peername") if request.transport is not None else None
        methods = self._routes.get(request.path)
        response: web.StreamResponse | None = None
        try:
            response = await self._answer(request, methods)
            return response
        finally:
            if request.path not in UNCOUNTED:
                status = response.status if response is not None else CLOSED_REQUEST
                self.metrics.http.answered(
                    request.method,
                    request.path if methods else "none",
                    status,
                    request.content_length or 0,
                    (response.content_length or 0) if response is not None else 0,
                    monotonic() - started,
                )
                if self.options.access_log:
                    _log_access(request, peer, status)

    async def _answer(self, request: web.BaseRequest, methods: Mapping[str, Handler] | None) -> web.StreamResponse:
        try:
            if self.options.api_keys and request.path.startswith(GUARDED) and not self._authorised(request):
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
        inference = self._inference.handler
        routes: dict[str, dict[str, Handler]] = {
            "/health": {"GET": self._health},
            "/ping": {"GET": self._health, "POST": self._health},
            "/version": {"GET": self._version},
            "/load": {"GET": self._load},
            "/metrics": {"GET": self._metrics},
            "/v1/models": {"GET": self._models},
            "/tokenize": {"POST": self._tokenize},
            "/detokenize": {"POST": self._detokenize},
            "/control": {"GET": self._show_control, "POST": self._set_control},
        }
        if self.options.pooling:
            routes["/v1/embeddings"] = {"POST": inference(parse_embedding, EmbeddingDialect)}
        else:
            routes |= {
                "/v1/chat/completions": {"POST": inference(parse_chat, ChatDialect)},
                "/v1/completions": {"POST": inference(parse_completion, CompletionDialect)},
                "/v1/responses": {"POST": inference(parse_responses, ResponsesDialect)},
                "/v1/messages": {"POST": inference(parse_messages, MessagesDialect)},
            }
        if self.options.dev_mode:
            routes |= {
                "/sleep": {"POST": self._sleep},
                "/wake_up": {"POST": self._wake_up},
                "/is_sleeping": {"GET": self._is_sleeping},
            }
        return routes

    def _authorised(self, request: web.BaseRequest) -> bool:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        return scheme.lower() == "bearer" and key in self.options.api_keys

    async def _health(self, _request: web.BaseRequest) -> web.StreamResponse:
        await self._control.health_gate()
        return _json(None, 503 if self.engine.dead.is_set() else 200)

    async def _version(self, _request: web.BaseRequest) -> web.StreamResponse:
        return _json({"version": VERSION})

    async def _load(self, _request: web.BaseRequest) -> web.StreamResponse:
        return _json({"server_load": self._inference.open if self.options.track_load else 0})

    async def _metrics(self, request: web.BaseRequest) -> web.StreamResponse:
        engine = self.engine
        self.metrics.refresh(
            waiting=engine.waiting,
            running=engine.running,
            cache_usage=engine.cache_usage,
            sleep_level=engine.sleep_level,
        )
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self.metrics.registry), headers={**BASE_HEADERS, "Content-Type": content_type})

    async def _models(self, _request: web.BaseRequest) -> web.StreamResponse:
        return _json(dialects.models(self.options.served_names, self.options.model, self.options.max_model_len))

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

    async def _sleep(self, request: web.BaseRequest) -> web.StreamResponse:
        self._require_sleep_mode()
        level = request.query.get("level", "1")
        mode = request.query.get("mode", "abort")
        if level not in ("0", "1", "2"):
            raise bad_value("level must be 0, 1 or 2.", "level", level)
        if mode not in SLEEP_MODES:
            raise bad_value(f"mode must be one of {', '.join(SLEEP_MODES)}.", "mode", mode)
        await self.engine.sleep(int(level), mode)
        return _json({"status": "sleeping", "level": int(level)})

    async def _wake_up(self, request: web.BaseRequest) -> web.StreamResponse:
        self._require_sleep_mode()
        tags = request.query.getall("tags", None)
        awake = self.engine.wake_up(tags)
        return _json({"status": "awake" if awake else "sleeping", "tags": tags})

    async def _is_sleeping(self, _request: web.BaseRequest) -> web.StreamResponse:
        return _json({"is_sleeping": self.engine.sleep_level is not None})

    def _require_sleep_mode(self) -> None:
        if not self.options.sleep_mode:
            message = "Sleep mode is not enabled; start the server with --enable-sleep-mode."
            raise ApiError(400, error_body(message, "BadRequestError", 400))

    async def _show_control(self, _request: web.BaseRequest) -> web.StreamResponse:
        return _json(self._control.state())

    async def _set_control(self, request: web.BaseRequest) -> web.StreamResponse:
        # the reference stub takes any content type here
        self._control.apply(parse_body(JSON_TYPE, await read_data(request)))
        return _json(self._control.state())


async def _read(request: web.BaseRequest) -> dict[str, Any]:
    return parse_body(request.headers.get("Content-Type", ""), await read_data(request))


def _json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    if value is None:
        return web.Response(status=status, headers=BASE_HEADERS)
    return web.Response(
        body=dialects.dump(value),
        status=status,
        headers={**BASE_HEADERS, **(headers or {}), "Content-Type": JSON_TYPE},
    )


def _log_access(request: web.BaseRequest, peer: tuple[str, int] | None, status: int) -> None:
    client = f"{peer[0]}:{peer[1]}" if peer else "-"
    write_line(f'INFO:     {client} - "{request.method} {request.path_qs} HTTP/1.1" {status}')
