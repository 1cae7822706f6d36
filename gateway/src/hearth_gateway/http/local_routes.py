"""What the gateway answers itself: model list, health, metrics, the queue. None of it touches a backend."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from hearth_gateway.policy.failure import Failure

if TYPE_CHECKING:
    from hearth_gateway.gateway import Gateway
    from hearth_gateway.policy.service import Service

Answer = tuple[bytes, bytes, bytes]  # status line without version, content type, body
UNREAD = "no services were read yet"
_JSON = b"application/json"
_TEXT = b"text/plain; charset=utf-8"


def starting(why: str) -> Failure:
    """What is not known yet must read neither as 0 nor as "there is none"."""
    return Failure(503, "starting", f"The gateway starts: {why}. Retry later.", retry_after=1)


def answer(gateway: Gateway, path: bytes, service: Service | None, target: bytes) -> Answer | Failure:
    """The answer to a local route. ``service``: the one that host or path prefix pins."""
    if path.startswith(b"/v1/models") and (unknown := gateway.starting) is not None:
        return unknown
    if path == b"/v1/models":
        services = [service] if service is not None else list(gateway.services.values())
        cards = [card for each in services for card in _cards(gateway, each)]
        return _json({"object": "list", "data": cards})
    if path == b"/v1/models/":
        return _model(gateway, service, target)
    if path == b"/hearth/queue":
        if gateway.waits_for is not None:
            return starting(gateway.waits_for)
        return _json(_queue(gateway, service))
    if path == b"/metrics":
        from hearth_gateway import metrics

        return b"200 OK", metrics.CONTENT_TYPE, metrics.render(gateway)
    if path == b"/readyz" and not gateway.ready:
        why = "draining" if gateway.draining else gateway.waits_for or UNREAD
        return b"503 Service Unavailable", _TEXT, f"{why}\n".encode()
    return b"200 OK", _TEXT, b"ok\n"


def _json(document: Any) -> Answer:
    return b"200 OK", _JSON, json.dumps(document, ensure_ascii=False).encode()


def _cards(gateway: Gateway, service: Service) -> list[dict[str, Any]]:
    """Model cards in vLLM's form; an alias is a card whose ``root`` is the service."""
    config = service.config
    return [
        {
            "id": name,
            "object": "model",
            "created": gateway.started_at,
            "owned_by": "hearth",
            "root": config.name,
            "parent": None,
        }
        for name in (config.name, *config.aliases)
    ]


def _model(gateway: Gateway, service: Service | None, target: bytes) -> Answer | Failure:
    # openai-python sends a slash in a name as %2F.
    name = unquote_to_bytes(target.partition(b"?")[0].partition(b"/v1/models/")[2]).decode(errors="replace")
    found = gateway.by_model.get(name)
    if found is None or (service is not None and found is not service):
        return Failure(404, "model_not_found", f"The model `{name[:200]}` does not exist.", param="model")
    return _json(next(card for card in _cards(gateway, found) if card["id"] == name))


def _queue(gateway: Gateway, service: Service | None) -> dict[str, Any]:
    """``pending`` is the number KEDA's metrics-api scaler reads: the demand of all replicas, floor included."""
    if service is not None:
        return _one(gateway, service)
    services = {name: _one(gateway, each) for name, each in gateway.services.items()}
    return {"pending": sum(entry["pending"] for entry in services.values()), "services": services}


def _one(gateway: Gateway, service: Service) -> dict[str, Any]:
    stats = service.stats()
    document: dict[str, Any] = {
        "pending": gateway.pending(service.name),
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
