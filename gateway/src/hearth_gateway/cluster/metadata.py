"""The metadata of an object in the Kubernetes API."""

from __future__ import annotations

import msgspec


class Metadata(msgspec.Struct, frozen=True, rename="camel"):
    """What the gateway reads of an object's metadata."""

    name: str = ""
    labels: dict[str, str] | None = None
    resource_version: str = ""
