"""Errors that somebody can put right.

GatewayError
 - ConfigError          a services document cannot be used
 - AccessError          the access to the API server is not configured
 - ListenAddressError   a text is not an address to listen on
 - ListenError          an address cannot be listened on
 - MissingExtraError    a package that a mode needs is not installed
"""

from __future__ import annotations


class GatewayError(Exception):
    """Something somebody can put right: what is wrong (`message`) and what to do about it (`remedy`, may be empty)."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}; {self.remedy}" if self.remedy else self.message


class ConfigError(GatewayError):
    """A services document that cannot be used; the message names the place and the value."""


class AccessError(GatewayError):
    """An access to the API server that is not configured."""


class ListenAddressError(GatewayError):
    """A text that is not an address to listen on."""


class ListenError(GatewayError):
    """An address that cannot be listened on."""


class MissingExtraError(GatewayError):
    """A package that a mode needs and that is not installed."""
