"""Error answers: the bodies of vLLM's exception handlers (facts: captures of 0.32.0 and its serve/ sources)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

DEAD_ANSWER = "The server had an error while processing your request. Sorry about that!"


class ApiError(Exception):
    """An answer other than 200. `body` is the JSON value to send; None sends no body at all."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.body = body
        self.headers = dict(headers or {})


def error_body(message: str, kind: str, status: int, param: str | None = None) -> dict[str, Any]:
    """Return the usual error object; `code` is an int equal to the HTTP status."""
    return {"error": {"message": message, "type": kind, "param": param, "code": status}}


def error_event(message: str, kind: str = "InternalServerError", status: int = 500) -> bytes:
    """Return the event of a stream that failed after its 200; vLLM writes it with blanks after colons and commas."""
    return f"data: {json.dumps(error_body(message, kind, status))}\n\n".encode()


def unknown_model(name: str, served: tuple[str, ...]) -> ApiError:
    """404 for a model that this server does not serve."""
    message = f"The model `{name}` does not exist. Valid aliases: {', '.join(served)}."
    return ApiError(404, error_body(message, "NotFoundError", 404, "model"))


def bad_value(message: str, parameter: str, value: object) -> ApiError:
    """400 for a field whose value is out of range."""
    text = f"{message} (parameter={parameter}, value={value})"
    return ApiError(400, error_body(text, "BadRequestError", 400, parameter))


def validation(detail: str, param: str | None) -> ApiError:
    """400 for a body that does not fit the schema."""
    return ApiError(400, error_body(f"1 validation error:\n  {detail}", "Bad Request", 400, param))


def schema_error(kind: str, location: str, message: str, body: Mapping[str, Any], context: str = "") -> ApiError:
    """400 in the words of the validation library; bodies are named by their size, not shown."""
    detail = f"{{'type': {kind!r}, 'loc': {location!r}, 'msg': {message!r}, 'input': '<dict of {len(body)} items>'"
    return validation(detail + (f", 'ctx': {{'error': {context!r}}}}}" if context else "}"), location)


def unauthorized() -> ApiError:
    """401, whose error is a string and not an object."""
    return ApiError(401, {"error": "Unauthorized"})


def framework(status: int, detail: str, headers: Mapping[str, str] | None = None) -> ApiError:
    """404 and 405 as the web framework answers them."""
    return ApiError(status, {"detail": detail}, headers)
