"""Fingerprints of objects: whether what is planned, or the live object, changed since it was applied."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from hearth.planning import SERVICE_LABEL

_SERVER = frozenset({"apiVersion", "kind", "metadata", "status"})


def digest(value: Any) -> bytes:
    """Return eight bytes that differ when the JSON value does."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return blake2b(text.encode(), digest_size=8).digest()


def live_digest(item: Mapping[str, Any]) -> bytes:
    """Return the digest of those fields of a live object that only a person or an operator changes.

    Left out is what controllers write: status, versions, annotations of Kubernetes' own, labels of KEDA's own (it puts
    one on every new ScaledObject), and the replicas of backends, which are the autoscaler's.
    """
    metadata = item["metadata"]
    kept = {
        "ownerReferences": metadata.get("ownerReferences") or [],
        "labels": _without(metadata.get("labels"), "keda.sh"),
        "annotations": _without(metadata.get("annotations"), "kubernetes.io"),
    }
    rest = {key: value for key, value in item.items() if key not in _SERVER}
    if is_backend(item) and "spec" in rest:
        rest["spec"] = {key: value for key, value in rest["spec"].items() if key != "replicas"}
    return digest((kept, rest))


def is_backend(item: Mapping[str, Any]) -> bool:
    """Return whether a Deployment is that of a service's engines; a gateway's has another name than the service."""
    metadata = item["metadata"]
    return bool((metadata.get("labels") or {}).get(SERVICE_LABEL) == metadata["name"])


def _without(pairs: Mapping[str, str] | None, domain: str) -> dict[str, str]:
    """Return labels or annotations without those whose keys belong to a domain."""
    return {
        key: value for key, value in (pairs or {}).items() if not f".{key.partition('/')[0]}".endswith(f".{domain}")
    }
