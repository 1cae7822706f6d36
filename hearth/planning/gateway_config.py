"""The ConfigMap of a gateway: its services document, which it watches through the API and reads again on every change."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from hearth.planning.gateway import Gateway

DOCUMENT = "services.json"
"""The key of the document in the ConfigMap."""

LARGEST_DOCUMENT = 1_000_000
"""Bytes; Kubernetes refuses ConfigMaps above 1 MiB."""


def gateway_config(gateway: Gateway, entries: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the ConfigMap with the entries of the services: one per line, so that a change shows as one."""
    lines = ",\n".join(f"  {written(entry)}" for entry in entries)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": gateway.metadata(),
        "data": {DOCUMENT: f'{{"services": [\n{lines}\n]}}\n'},
    }


def written(entry: Mapping[str, Any]) -> str:
    """Return an entry as it stands in the document."""
    return json.dumps(entry, ensure_ascii=True, allow_nan=False)
