"""The accelerators that the node claims to have: extended resources in its status."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools.devcluster.api import Api
from tools.devcluster.errors import ApiError, UsageError

STANDARD = frozenset({"cpu", "memory", "pods", "ephemeral-storage"})


def read_accelerators(file: Path) -> dict[str, int]:
    """Return the wanted amounts."""
    try:
        return {str(key): int(value) for key, value in json.loads(file.read_text()).items()}
    except FileNotFoundError:
        return {}


def parse_accelerators(words: list[str]) -> dict[str, int]:
    """Return the amounts of `KEY=N` words; 0 removes.

    Raises UsageError for a word that is not of this form.
    """
    amounts = {}
    for word in words:
        key, equals, text = word.partition("=")
        domain, slash, name = key.partition("/")
        if not (equals and slash and domain and name and text.isascii() and text.isdigit()) or len(text) > 6:
            raise UsageError(f"{word!r}: write KEY=N, such as nvidia.com/gpu=8; N=0 removes the resource")
        amounts[key] = int(text)
    return amounts


def status_patch(status: Mapping[str, Any], wanted: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return the JSON patch that gives a node's status the `wanted` amounts; 0 removes. Empty when it has them."""
    patch: list[dict[str, Any]] = []
    for section in ("capacity", "allocatable"):
        present = status.get(section) or {}
        for key, amount in sorted(wanted.items()):
            path = f"/status/{section}/{key.replace('~', '~0').replace('/', '~1')}"
            if amount and str(present.get(key)) != str(amount):
                patch.append({"op": "add", "path": path, "value": str(amount)})
            elif not amount and key in present:
                patch.append({"op": "remove", "path": path})
    return patch


def patch_accelerators(api: Api, node: str, file: Path) -> bool:
    """Bring the node's status to what `file` says.

    Returns:
        Whether something had to be changed, or could not be yet because there is no node.

    Raises ApiError when the API server does not answer, or refuses.
    """
    found = api.node(node)
    if found is None or not (found.get("status") or {}).get("capacity"):
        return True
    patch = status_patch(found["status"], read_accelerators(file))
    if patch:
        try:
            api.call("PATCH", f"/api/v1/nodes/{node}/status", patch, "application/json-patch+json")
        except ApiError as error:
            # The kubelet was quicker with the same removal: the next look decides.
            if error.status != 422:
                raise
    return bool(patch)
