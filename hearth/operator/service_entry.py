"""LLMServices and InferenceRuntimes, read from what the API server has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from hearth.api import HearthError, InferenceRuntime, LLMService, ManifestErrors, parse_manifests
from hearth.api.service import LLMServiceStatus
from hearth.operator.kubernetes.errors import OperatorError
from hearth.operator.objects import read_metadata
from hearth.planning import Plan
from hearth.planning.names import Identity

_META = ("name", "namespace", "uid", "generation", "labels", "annotations", "creationTimestamp", "deletionTimestamp")
_STAND_IN = LLMService.model_validate(
    {"metadata": {"name": "stand-in"}, "spec": {"model": {"source": {"uri": "hf://not/valid"}}}}
)
_NOTED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True, slots=True)
class Planned:
    """Result of planning a service.

    Another plan is another record, so that a reconcile that applies one plan never gets the digests of the next one.

    `generation` is that of the spec and `epoch` that of the runtimes it was made from. `plan` is the last one that
    could be made, `error` why the spec cannot be planned. `wanted` are the digests of the plan's objects. `token` tells
    one plan, or one failure to plan, from another.
    """

    generation: int
    epoch: int
    plan: Plan | None = None
    error: HearthError | None = None
    wanted: Mapping[Identity, bytes] = field(default_factory=dict)
    token: bytes = b""


_NOT_PLANNED = Planned(-1, -1)


@dataclass(slots=True)
class ServiceEntry:
    """Service, and the result of planning it.

    `error` is why its spec cannot be read; `service` has a stand-in for the spec then.
    """

    service: LLMService
    uid: str
    generation: int
    version: int
    deleting: bool
    error: OperatorError | None = None
    planned: Planned = _NOT_PLANNED
    notice: str | None = None

    def refresh(self, fresh: ServiceEntry) -> None:
        """Take over what was read, and keep what was planned."""
        self.service, self.error = fresh.service, fresh.error
        self.generation, self.version, self.deleting = fresh.generation, fresh.version, fresh.deleting


def read_service(item: Mapping[str, Any]) -> ServiceEntry:
    """Read a service. What the API server accepts and the models do not becomes its `error`."""
    metadata = {name: item["metadata"][name] for name in _META if name in item["metadata"]}
    if _NOTED in metadata.get("annotations", ()):
        metadata["annotations"] = {k: v for k, v in metadata["annotations"].items() if k != _NOTED}
    wire = {"apiVersion": item["apiVersion"], "kind": item["kind"], "metadata": metadata, "spec": item.get("spec")}
    error: OperatorError | None = None
    try:
        service = LLMService.model_validate(wire, by_alias=True, by_name=False)
    except ValidationError:
        error = _unreadable(wire)
        service = _stand_in(metadata)
    status = _read_status(item.get("status"))
    if status is not None:
        service = service.model_copy(update={"status": status})
    known = read_metadata(item)
    return ServiceEntry(
        service=service,
        uid=known.uid,
        generation=metadata.get("generation", 0),
        version=known.version,
        deleting=bool(known.deletion_timestamp),
        error=error,
    )


def _stand_in(metadata: Mapping[str, Any]) -> LLMService:
    """Return a service of that name. Nothing of it is validated: the object may be older than the rule for names."""
    known = {
        "name": metadata["name"],
        "namespace": metadata["namespace"],
        "uid": metadata["uid"],
        "generation": metadata.get("generation"),
        "creation_timestamp": metadata.get("creationTimestamp"),
        "deletion_timestamp": metadata.get("deletionTimestamp"),
    }
    return _STAND_IN.model_copy(update={"metadata": _STAND_IN.metadata.model_copy(update=known)})


def read_runtime(item: Mapping[str, Any]) -> InferenceRuntime:
    """Read a runtime. Raises OperatorError when the models refuse what the API server let pass."""
    metadata = {name: item["metadata"][name] for name in _META if name in item["metadata"]}
    wire = {"apiVersion": item["apiVersion"], "kind": item["kind"], "metadata": metadata, "spec": item.get("spec")}
    try:
        return InferenceRuntime.model_validate(wire, by_alias=True, by_name=False)
    except ValidationError as exc:
        raise _unreadable(wire) from exc


def _read_status(status: Any) -> LLMServiceStatus | None:
    """Return the old status; one that this version cannot read counts as none."""
    if not status:
        return None
    try:
        return LLMServiceStatus.model_validate(status, by_alias=True, by_name=False)
    except ValidationError:
        return None


def _unreadable(wire: Mapping[str, Any]) -> OperatorError:
    """Return the faults of an object, in the words that `hearth explain` has for them."""
    try:
        parse_manifests(json.dumps(wire, indent=1), file=f"the {wire['kind']}")
    except ManifestErrors as exc:
        faults = [f"{fault.field}: {fault.message}" if fault.field else fault.message for fault in exc.errors]
        remedies = dict.fromkeys(fault.remedy for fault in exc.errors if fault.remedy)
        return OperatorError("InvalidSpec", "; ".join(faults), "; ".join(remedies))
    return OperatorError("InvalidSpec", "the spec is not valid", "`hearth explain -f FILE` says what is wrong")
