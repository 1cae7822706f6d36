"""Local routes: the paths that the gateway answers itself, each with its handler. None of them touches a backend."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol
from urllib.parse import unquote_to_bytes

from hearth_gateway.metrics import CONTENT_TYPE
from hearth_gateway.policy.failure import Failure
from hearth_gateway.policy.service import Service
from hearth_gateway.table import ServiceTable

UNREAD = "its services are not loaded yet"
READ = (b"GET", b"HEAD")
_JSON = b"application/json"
_TEXT = b"text/plain; charset=utf-8"


class GatewayView(Protocol):
    """The state of a gateway, as far as local routes show it."""

    started_at: int
    draining: bool
    waits_for: str | None

    @property
    def table(self) -> ServiceTable:
        """The services of this moment."""

    @property
    def ready(self) -> bool:
        """Whether new clients should be sent here."""

    @property
    def starting(self) -> Failure | None:
        """The refusal of requests for a model before the services are loaded; None: they are."""

    def pending(self, name: str) -> int:
        """Return the demand of one service, that of the other replicas included."""

    def exposition(self) -> bytes:
        """Return all metrics as Prometheus reads them."""


class Answer(NamedTuple):
    """An answer that is not an error in the client's dialect."""

    body: bytes
    content_type: bytes = _JSON
    status: bytes = b"200 OK"


Handler = Callable[[GatewayView, Service | None, bytes], Answer | Failure]
"""Answers a request, given the service that its host or path prefix pins, and its target without such a prefix."""


@dataclass(frozen=True, slots=True)
class LocalRoute:
    """One path that the gateway answers itself."""

    path: bytes
    handler: Handler
    methods: tuple[bytes, ...] = READ


def starting(why: str) -> Failure:
    """Return the refusal for what is not known yet: it must read neither as 0 nor as "there is none"."""
    return Failure(503, "starting", f"The gateway is starting: {why}. Retry later.", retry_after=1)


def models(view: GatewayView, service: Service | None, target: bytes) -> Answer | Failure:
    """Answer with the model list."""
    if (unknown := view.starting) is not None:
        return unknown
    services = [service] if service is not None else list(view.table.services.values())
    return _json({"object": "list", "data": [card for each in services for card in _cards(view, each)]})


def model(view: GatewayView, service: Service | None, target: bytes) -> Answer | Failure:
    """Answer with one model card."""
    if (unknown := view.starting) is not None:
        return unknown
    # openai-python sends a slash in a name as %2F.
    name = unquote_to_bytes(target.partition(b"?")[0].partition(b"/v1/models/")[2]).decode(errors="replace")
    found = view.table.by_model.get(name)
    if found is None or (service is not None and found is not service):
        return Failure(404, "model_not_found", f"The model `{name[:200]}` does not exist.", param="model")
    return _json(next(card for card in _cards(view, found) if card["id"] == name))


def queue(view: GatewayView, service: Service | None, target: bytes) -> Answer | Failure:
    """Answer with the demand. `pending` is the number that KEDA's metrics-api scaler reads, that of all replicas."""
    if view.waits_for is not None:
        return starting(view.waits_for)
    if service is not None:
        return _json(_queue(view, service))
    services = {name: _queue(view, each) for name, each in view.table.services.items()}
    return _json({"pending": sum(entry["pending"] for entry in services.values()), "services": services})


def metrics(view: GatewayView, service: Service | None, target: bytes) -> Answer:
    """Answer Prometheus."""
    return Answer(view.exposition(), CONTENT_TYPE)


def readyz(view: GatewayView, service: Service | None, target: bytes) -> Answer:
    """Answer the readiness probe of the gateway's pod."""
    if view.ready:
        return healthz(view, service, target)
    why = "draining" if view.draining else view.waits_for or UNREAD
    return Answer(f"{why}\n".encode(), _TEXT, b"503 Service Unavailable")


def healthz(view: GatewayView, service: Service | None, target: bytes) -> Answer:
    """Answer that the gateway lives, whatever its backends do."""
    return Answer(b"ok\n", _TEXT)


MODEL = LocalRoute(b"/v1/models/", model)
LOCAL_ROUTES = (
    LocalRoute(b"/v1/models", models),
    LocalRoute(b"/healthz", healthz),
    LocalRoute(b"/readyz", readyz),
    LocalRoute(b"/health", healthz),
    LocalRoute(b"/ping", healthz, (*READ, b"POST")),
    LocalRoute(b"/metrics", metrics),
    LocalRoute(b"/hearth/queue", queue),
)


def _json(document: Any) -> Answer:
    return Answer(json.dumps(document, ensure_ascii=False).encode())


def _cards(view: GatewayView, service: Service) -> list[dict[str, Any]]:
    """Return model cards in vLLM's form; an alias is a card whose `root` is the service."""
    config = service.config
    return [
        {
            "id": name,
            "object": "model",
            "created": view.started_at,
            "owned_by": "hearth",
            "root": config.name,
            "parent": None,
        }
        for name in (config.name, *config.aliases)
    ]


def _queue(view: GatewayView, service: Service) -> dict[str, Any]:
    stats = service.stats()
    document: dict[str, Any] = {
        "pending": view.pending(service.name),
        "held": stats.held,
        "heldBytes": stats.held_bytes,
        "inFlight": stats.in_flight,
        "backends": len(service.backends),
        "usable": stats.usable,
        "activating": stats.activating,
    }
    if stats.activation_seconds is not None:
        document["activatingSeconds"] = round(stats.activation_seconds, 3)
    if stats.notice:
        document["notice"] = stats.notice
    return document
