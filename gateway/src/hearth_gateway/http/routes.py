"""Which paths exist, which of them wake a model, and which are answered by the gateway itself.

The list is that of vLLM 0.33 (its entrypoints' api_router modules). Only inference wakes: a metrics scrape, a health check or a
model list that reached a backend would keep an accelerator busy or wake it for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from hearth_gateway.http.sse import Flavor


class Kind(IntEnum):
    """What the gateway does with a request."""

    INFERENCE = 1  # held while the model sleeps, wakes it
    PASS = 2  # forwarded to a ready backend, never wakes one
    LOCAL = 3  # answered here


@dataclass(frozen=True, slots=True)
class Route:
    """One path.

    ``streams``: the API knows ``"stream": true``, so a held request can be answered with heartbeats.
    ``form``: the body is multipart/form-data, the model is one of its fields.
    """

    kind: Kind
    path: bytes
    methods: tuple[bytes, ...] = (b"POST",)
    flavor: Flavor = "openai"
    streams: bool = False
    form: bool = False


_READ = (b"GET", b"HEAD")

_INFERENCE = (
    Route(Kind.INFERENCE, b"/v1/chat/completions", streams=True),
    Route(Kind.INFERENCE, b"/v1/completions", streams=True),
    Route(Kind.INFERENCE, b"/v1/responses", flavor="responses", streams=True),
    Route(Kind.INFERENCE, b"/v1/messages", flavor="anthropic", streams=True),
    Route(Kind.INFERENCE, b"/v1/messages/count_tokens", flavor="anthropic"),
    Route(Kind.INFERENCE, b"/v1/audio/transcriptions", form=True),
    Route(Kind.INFERENCE, b"/v1/audio/translations", form=True),
    *(
        Route(Kind.INFERENCE, path)
        for path in (
            b"/v1/chat/completions/batch",
            b"/v1/embeddings",
            b"/v2/embed",
            b"/pooling",
            b"/classify",
            b"/score",
            b"/v1/score",
            b"/rerank",
            b"/v1/rerank",
            b"/v2/rerank",
            b"/tokenize",
            b"/detokenize",
            b"/invocations",
            b"/generative_scoring",
            b"/v1/systemone",
            b"/v1/decisions",
        )
    ),
)
_PASS = (
    Route(Kind.PASS, b"/version", _READ),
    Route(Kind.PASS, b"/load", _READ),
    Route(Kind.PASS, b"/tokenizer_info", _READ),
    Route(Kind.PASS, b"/v1/load_lora_adapter"),
    Route(Kind.PASS, b"/v1/unload_lora_adapter"),
)
_LOCAL = (
    Route(Kind.LOCAL, b"/v1/models", _READ),
    Route(Kind.LOCAL, b"/healthz", _READ),
    Route(Kind.LOCAL, b"/readyz", _READ),
    Route(Kind.LOCAL, b"/health", _READ),
    Route(Kind.LOCAL, b"/ping", (b"GET", b"HEAD", b"POST")),
    Route(Kind.LOCAL, b"/metrics", _READ),
    Route(Kind.LOCAL, b"/hearth/queue", _READ),
)

ROUTES: dict[bytes, Route] = {route.path: route for route in (*_INFERENCE, *_PASS, *_LOCAL)}

_MODEL = Route(Kind.LOCAL, b"/v1/models/", _READ)
_RESPONSE = Route(Kind.PASS, b"/v1/responses/", _READ)
_CANCEL = Route(Kind.PASS, b"/v1/responses/cancel")


def find_route(path: bytes) -> Route | None:
    """The route of a path without query and without service prefix; None when there is no such path."""
    route = ROUTES.get(path)
    if route is not None:
        return route
    if path.startswith(b"/v1/models/") and len(path) > len(b"/v1/models/"):
        return _MODEL
    if path.startswith(b"/v1/responses/"):
        rest = path[len(b"/v1/responses/") :]
        identifier, slash, verb = rest.partition(b"/")
        if identifier and not slash:
            return _RESPONSE
        if identifier and verb == b"cancel":
            return _CANCEL
    return None
