"""Every way in which the gateway itself says no, as an OpenAI-shaped error.

The shape is vLLM's: ``{"error": {"message", "type", "param", "code"}}`` with ``code`` an int equal to the status.
429 means too busy, 503 means no capacity (yet); both carry a Retry-After that clients of OpenAI's libraries obey (they
ignore or refuse values above 60 s).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus

MAX_RETRY_AFTER = 55

_TYPES = {
    400: "BadRequestError",
    404: "NotFoundError",
    405: "MethodNotAllowedError",
    408: "RequestTimeoutError",
    413: "RequestTooLargeError",
    429: "RateLimitError",
    431: "RequestTooLargeError",
    501: "NotImplementedError",
    502: "BadGatewayError",
    503: "ServiceUnavailableError",
    504: "GatewayTimeoutError",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """One refusal. ``reason`` is a stable word for headers and metrics, ``retry_after`` whole seconds or None."""

    status: int
    reason: str
    message: str
    param: str | None = None
    retry_after: int | None = None
    allow: str | None = None

    def body(self) -> bytes:
        """The JSON document that clients parse."""
        return error_document(self.status, self.message, param=self.param)

    def response(self, *, close: bool) -> bytes:
        """The complete HTTP/1.1 response."""
        body = self.body()
        lines = [
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            f"X-Hearth-Reason: {self.reason}",
        ]
        if self.retry_after is not None:
            lines.append(f"Retry-After: {self.retry_after}")
        if self.allow is not None:
            lines.append(f"Allow: {self.allow}")
        if close:
            lines.append("Connection: close")
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def error_document(status: int, message: str, *, kind: str | None = None, param: str | None = None) -> bytes:
    """The JSON document of an error, on one line. Lone surrogates, which engines quote from prompts, become ``?``."""
    error = {
        "message": message,
        "type": kind or _TYPES.get(status, "InternalServerError"),
        "param": param,
        "code": status,
    }
    return json.dumps({"error": error}, ensure_ascii=False).encode(errors="replace")


def retry_after(seconds_left: float) -> int:
    """Whole seconds for Retry-After: the estimate, at least 1 and at most 55."""
    return round(max(1, min(MAX_RETRY_AFTER, seconds_left)))
