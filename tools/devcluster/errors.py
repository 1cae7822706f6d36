"""Errors, one type for each kind of mistake. The message names the thing, its value and the remedy."""

from __future__ import annotations


class DevclusterError(Exception):
    """Anything the user is told in one line; exit status 1."""


class UsageError(DevclusterError):
    """An argument that cannot be right; exit status 2."""


class MachineError(DevclusterError):
    """A machine that cannot run the cluster as it is."""


class BuildError(DevclusterError):
    """A component could not be built."""


class BusyError(DevclusterError):
    """Another process works on the same cluster."""


class NotRunningError(DevclusterError):
    """The command needs a cluster that is up."""


class NodeError(DevclusterError):
    """The node, or one of its components, does not do what it should."""


class ApiError(DevclusterError):
    """The API server answered with an error, or not at all.

    `status` is the HTTP status, 0 when there was no answer.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
