"""Errors of requests to the API server, and of what the operator itself refuses to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hearth.api import HearthError


class OperatorError(HearthError):
    """Something keeps a service from being applied. `reason` is the CamelCase word for a condition.

    `retriable` says whether trying again may help without anybody changing anything; `passing` whether the next try
    mostly does, so that it says something about a service only when it lasts.
    """

    retriable = True
    passing = False

    def __init__(self, reason: str, message: str, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.reason = reason


class NotWatched(HearthError):
    """Changes of a kind do not arrive, and will not until the process restarts."""


class NameTaken(OperatorError):
    """An object of the needed name is there and is not Hearth's, or is that of another service."""

    retriable = False


class BeingDeleted(OperatorError):
    """An object of the needed name is on its way out; the next try may find the name free."""


class ApiError(OperatorError):
    """The API server refused or failed. `status` is the HTTP status, 0 when there was no answer."""

    def __init__(self, status: int, reason: str, message: str, remedy: str = "") -> None:
        super().__init__(reason, message, remedy)
        self.status = status


class NotFound(ApiError):
    """The object, or its namespace, is not there."""


class NotServed(NotFound):
    """The kind is not served: its CustomResourceDefinition is missing."""


class Conflict(ApiError):
    """Somebody else changed or owns it (409)."""

    passing = True


class Forbidden(ApiError):
    """Access control, a quota, Pod Security or a policy says no (403)."""


class Malformed(OperatorError):
    """An object of the API server cannot be read: a field that Kubernetes defines has a value of another type."""

    retriable = False


class NamespaceGoing(Forbidden):
    """The namespace is being deleted: nothing can be created in it."""

    retriable = False


class Invalid(ApiError):
    """The object is not valid; sending it again does not help."""

    retriable = False


class Unavailable(ApiError):
    """No answer in time, too many requests, or no backend behind the address."""

    passing = True


class InternalError(ApiError):
    """The API server failed at it (500): etcd changes its leader, or an admission webhook does not answer it."""

    passing = True


def refusal(status: int, body: Any, what: str) -> ApiError:
    """Return the error for an answer. `body` is the Status object, or whatever came in its place.

    A duplicate item in a list (two env variables of one name) is answered with 500 by server-side apply, although
    no retry can resolve it.
    """
    answer: Mapping[str, Any] = body if isinstance(body, Mapping) else {}
    details = answer.get("details") or {}
    message = str(answer.get("message") or body or f"HTTP status {status}")[:1000]
    text = f"{what}: {message}"
    if status == 404:
        known = details.get("name") or details.get("kind")
        return NotFound(404, "NotFound", text) if known else NotServed(404, "NotServed", text)
    if status == 409:
        return Conflict(409, "Conflict", text)
    if status == 403:
        causes = [cause.get("reason") for cause in details.get("causes") or ()]
        going = "NamespaceTerminating" in causes
        return (NamespaceGoing if going else Forbidden)(403, "NamespaceTerminating" if going else "Forbidden", text)
    if status in (400, 413, 415, 422) or (status == 500 and "failed to create typed" in message):
        return Invalid(status, "InvalidObject", text)
    if status == 401:
        return Unavailable(401, "Unauthorized", text)
    if status == 500:
        return InternalError(500, "InternalError", text)
    return Unavailable(status, "ApiUnavailable", text)
