"""Failures: every way in which the gateway itself refuses a request, as an OpenAI-shaped error.

The shape is vLLM's: `{"error": {"message", "type", "param", "code"}}` with `code` an int equal to the status.
429 means too busy, 503 means no capacity (yet); both carry a Retry-After that clients of OpenAI's libraries obey (they
ignore or refuse values above 60 s).
"""

from __future__ import annotations

import json
from dataclasses import dataclass

MAX_RETRY_AFTER = 55
"""Seconds."""

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
    """One refusal. `reason` is a stable word for headers and metrics, `retry_after` whole seconds or None."""

    status: int
    reason: str
    message: str
    param: str | None = None
    retry_after: int | None = None
    allow: str | None = None

    def body(self) -> bytes:
        """Return the JSON document that clients parse."""
        return error_document(self.status, self.message, param=self.param)


class Refused(Exception):
    """A request that is answered with `failure`; its connection stays open for the next one."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def error_document(status: int, message: str, *, kind: str | None = None, param: str | None = None) -> bytes:
    """Return the JSON document of an error, on one line. Lone surrogates, which engines quote, become `?`."""
    error = {
        "message": message,
        "type": kind or _TYPES.get(status, "InternalServerError"),
        "param": param,
        "code": status,
    }
    return json.dumps({"error": error}, ensure_ascii=False).encode(errors="replace")


def retry_after(seconds_left: float) -> int:
    """Return whole seconds for Retry-After: the estimate, at least 1 and at most 55."""
    return round(max(1, min(MAX_RETRY_AFTER, seconds_left)))
