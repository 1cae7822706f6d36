"""Routes: which paths exist, which of them wake a model, and which are answered by the gateway itself.

The list is that of vLLM 0.33 (its entrypoints' api_router modules). Only inference wakes: a metrics scrape, a health check or a
model list that reached a backend would keep an accelerator busy or wake it for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from hearth_gateway.http.local_routes import LOCAL_ROUTES, MODEL, READ, LocalRoute
from hearth_gateway.http.sse import Flavor


@dataclass(frozen=True, slots=True)
class Route:
    """One path that backends answer.

    `wakes`: it is inference, held while the model sleeps; any other is forwarded to a ready backend only.
    `streams`: the API knows `"stream": true`, so a held request can be answered with heartbeats.
    `form`: the body is multipart/form-data, the model is one of its fields.
    """

    path: bytes
    methods: tuple[bytes, ...] = (b"POST",)
    wakes: bool = True
    flavor: Flavor = "openai"
    streams: bool = False
    form: bool = False


AnyRoute = Route | LocalRoute

_INFERENCE = (
    Route(b"/v1/chat/completions", streams=True),
    Route(b"/v1/completions", streams=True),
    Route(b"/v1/responses", flavor="responses", streams=True),
    Route(b"/v1/messages", flavor="anthropic", streams=True),
    Route(b"/v1/messages/count_tokens", flavor="anthropic"),
    Route(b"/v1/audio/transcriptions", form=True),
    Route(b"/v1/audio/translations", form=True),
    Route(b"/v1/chat/completions/batch"),
    Route(b"/v1/embeddings"),
    Route(b"/v2/embed"),
    Route(b"/pooling"),
    Route(b"/classify"),
    Route(b"/score"),
    Route(b"/v1/score"),
    Route(b"/rerank"),
    Route(b"/v1/rerank"),
    Route(b"/v2/rerank"),
    Route(b"/tokenize"),
    Route(b"/detokenize"),
    Route(b"/invocations"),
    Route(b"/generative_scoring"),
    Route(b"/v1/systemone"),
    Route(b"/v1/decisions"),
)
_OTHERS = (
    Route(b"/version", READ, wakes=False),
    Route(b"/load", READ, wakes=False),
    Route(b"/tokenizer_info", READ, wakes=False),
    Route(b"/v1/load_lora_adapter", wakes=False),
    Route(b"/v1/unload_lora_adapter", wakes=False),
)

ROUTES: dict[bytes, AnyRoute] = {route.path: route for route in (*_INFERENCE, *_OTHERS, *LOCAL_ROUTES)}

_RESPONSE = Route(b"/v1/responses/", READ, wakes=False)
_CANCEL = Route(b"/v1/responses/cancel", wakes=False)


def find_route(path: bytes) -> AnyRoute | None:
    """Return the route of a path without query and without service prefix; None when there is no such path."""
    route = ROUTES.get(path)
    if route is not None:
        return route
    if path.startswith(MODEL.path) and len(path) > len(MODEL.path):
        return MODEL
    if path.startswith(b"/v1/responses/"):
        rest = path[len(b"/v1/responses/") :]
        identifier, slash, verb = rest.partition(b"/")
        if identifier and not slash:
            return _RESPONSE
        if identifier and verb == b"cancel":
            return _CANCEL
    return None
