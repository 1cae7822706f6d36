"""Server-sent events as the gateway writes them: comments while a stream is held, and errors that clients understand.

Comment lines end in ONE newline: a blank line after a comment makes some clients dispatch an empty event
(openai-go before 3.43, openai-python after an `id:` line). `retry:`, `id:` and named pings are never sent.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Literal

from hearth_gateway.policy.failure import Failure, error_document

Flavor = Literal["openai", "responses", "anthropic"]
LAST_CHUNK = b"0\r\n\r\n"
MAX_COMMENT = 400
"""Characters."""


def chunk(data: bytes) -> bytes:
    """Return one HTTP/1.1 chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


_END: dict[Flavor, re.Pattern[bytes]] = {
    "openai": re.compile(rb"^data: ?\[DONE\]", re.MULTILINE),
    "responses": re.compile(
        rb"^(?:event: ?(?:response\.(?:completed|failed|incomplete)|error)\b|data: ?\[DONE\])", re.MULTILINE
    ),
    "anthropic": re.compile(rb"^(?:event: ?(?:message_stop|error)\b|data: ?\[DONE\])", re.MULTILINE),
}


def is_end(events: bytes, flavor: Flavor) -> bool:
    """Return whether the event that ends a stream of that API is among these; a stream without it was cut off."""
    return _END[flavor].search(events) is not None


def comment(text: str) -> bytes:
    """Return a comment line. Whatever the text holds, it stays one line."""
    flat = " ".join(text.split())[:MAX_COMMENT]
    return f": {flat}\n".encode(errors="replace")


@lru_cache(maxsize=64)
def heartbeat(text: str) -> bytes:
    """Return a chunk with one comment. All streams that wait for a service get the same one at a time."""
    return chunk(comment(text))


def error_event(failure: Failure, flavor: Flavor) -> bytes:
    """Return the event that ends a stream which failed after its 200, in the form of the API that the client speaks."""
    return error_event_from(failure.body(), flavor)


def error_event_from(body: bytes, flavor: Flavor) -> bytes:
    """Return the same event for an error document that is encoded already (`{"error": {...}}`)."""
    if flavor == "openai":
        return b"data: " + body + b"\n\n"
    error = json.loads(body)["error"]
    document = {"type": "error", "error": error}
    if flavor == "responses":
        document |= {"code": str(error["code"]), "message": error["message"], "param": error["param"]}
    return f"event: error\ndata: {json.dumps(document, ensure_ascii=False)}\n\n".encode(errors="replace")


def late_error(status: int, body: bytes) -> bytes:
    """Return an engine's error response (any status, any body) as the one-line JSON document of an error event.

    vLLM sends `{"error": {...}}`, `{"error": "text"}` for 401 and elastic scaling, `{"detail": "text"}` for unknown paths.
    """
    message = body[:2000].decode(errors="replace") or f"the backend answered with status {status} and no body"
    kind = param = None
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    error = document.get("error", document.get("detail")) if isinstance(document, dict) else None
    if isinstance(error, str):
        message = error
    elif isinstance(error, dict) and isinstance(error.get("message"), str):
        message, kind, param = error["message"], _text(error.get("type")), _text(error.get("param"))
    return error_document(status if status >= 400 else 502, message, kind=kind, param=param)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
