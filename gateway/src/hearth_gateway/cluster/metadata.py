"""The metadata of an object in the Kubernetes API."""

from __future__ import annotations

import msgspec


class Metadata(msgspec.Struct, frozen=True, rename="camel"):
    """The fields of an object's metadata that the gateway reads."""

    name: str = ""
    labels: dict[str, str] | None = None
    resource_version: str = ""
