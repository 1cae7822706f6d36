"""The error of a service that cannot be planned."""

from __future__ import annotations

from hearth.api import HearthError


class PlanningError(HearthError):
    """A service asks for something that cannot be done as written.

    `reason` is a CamelCase word, stable enough for a condition's reason and for tests; `message` names the field and
    its value, `remedy` says what to write instead.
    """

    def __init__(self, reason: str, message: str, remedy: str) -> None:
        super().__init__(message, remedy)
        self.reason = reason
