"""Objects of Kubernetes, with just the fields that the operator reads.

A thousand services must fit into little memory, and an object that changed elsewhere equals the one before it, so that
it is no reason to reconcile. Where Kubernetes leaves out an empty field, its default stands here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, TypeVar

import msgspec
from msgspec.structs import force_setattr

from hearth.operator.kubernetes.errors import Malformed
from hearth.operator.kubernetes.kinds import CLAIM, DEPLOYMENT, JOB, NODE, POD, SCALED_OBJECT, SERVICE, Kind
from hearth.planning import MANAGED_BY_LABEL

Read = TypeVar("Read")


class _Fields(msgspec.Struct, frozen=True, rename="camel"):
    """Some fields of an object on the wire form."""


# --- metadata -------------------------------------------------------------------------------------------------------------


class OwnerReference(_Fields, frozen=True):
    """Reference to the object that another one belongs to."""

    uid: str
    kind: str = ""
    name: str = ""
    controller: bool = False


class FieldManager(_Fields, frozen=True):
    """An entry of `managedFields`: whose fields are which."""

    manager: str = ""
    operation: str = ""
    fields: dict[str, Any] = msgspec.field(name="fieldsV1", default_factory=dict)


class Metadata(_Fields, frozen=True):
    """Metadata that every object has."""

    name: str
    uid: str
    namespace: str = ""
    resource_version: str = "0"
    labels: dict[str, str] = {}
    owner_references: tuple[OwnerReference, ...] = ()
    deletion_timestamp: str = ""

    @property
    def version(self) -> int:
        """The resource version as a number: Kubernetes has promised that they can be compared (KEP-5504)."""
        return int(self.resource_version) if self.resource_version.isdigit() else 0

    @property
    def controller(self) -> str | None:
        """The uid of the object that controls this one."""
        return next((owner.uid for owner in self.owner_references if owner.controller), None)

    @property
    def is_hearths(self) -> bool:
        """Whether the object carries Hearth's label."""
        return self.labels.get(MANAGED_BY_LABEL) == "hearth"


class _Anything(_Fields, frozen=True):
    metadata: Metadata


class _ManagedMetadata(_Fields, frozen=True):
    managed_fields: tuple[FieldManager, ...] = ()


class _Managed(_Fields, frozen=True):
    metadata: _ManagedMetadata


# --- parts ----------------------------------------------------------------------------------------------------------------


class Condition(_Fields, frozen=True):
    """A condition without its times, which change without meaning anything."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""

    @property
    def is_true(self) -> bool:
        """Whether the condition holds."""
        return self.status == "True"

    @property
    def is_false(self) -> bool:
        """Whether the condition is known not to hold."""
        return self.status == "False"


_ABSENT = Condition()


def _find(conditions: Iterable[Condition], kind: str) -> Condition:
    """Return the condition of a type; one without any word when there is none."""
    return next((condition for condition in conditions if condition.type == kind), _ABSENT)


def _only(conditions: Iterable[Condition], *kinds: str) -> tuple[Condition, ...]:
    return tuple(condition for condition in conditions if condition.type in kinds)


class _Name(_Fields, frozen=True):
    name: str = ""
    namespace: str = ""


class _Annotated(_Fields, frozen=True):
    name: str = ""
    annotations: dict[str, str] = {}


# --- pods -----------------------------------------------------------------------------------------------------------------


class Waiting(_Fields, frozen=True):
    """Container that is not started yet."""

    reason: str = ""
    message: str = ""


class Terminated(_Fields, frozen=True):
    """Container that has exited."""

    exit_code: int = 0
    signal: int = 0
    reason: str = ""
    message: str = ""
    started_at: str = ""
    finished_at: str = ""


class ContainerState(_Fields, frozen=True):
    """State of a container: at most one of them is set."""

    waiting: Waiting | None = None
    terminated: Terminated | None = None


class ContainerStatus(_Fields, frozen=True):
    """Status of a container."""

    name: str = ""
    image: str = ""
    ready: bool = False
    started: bool = False
    restart_count: int = 0
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


class _Resources(_Fields, frozen=True):
    limits: dict[str, str] = {}


class _Container(_Fields, frozen=True):
    resources: _Resources = _Resources()


class _PodMetadata(_Fields, frozen=True):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    labels: dict[str, str] = {}
    creation_timestamp: str = ""
    deletion_timestamp: str = ""
    owner_references: tuple[OwnerReference, ...] = ()


class _PodSpec(_Fields, frozen=True):
    node_name: str = ""
    containers: tuple[_Container, ...] = ()


class _PodStatus(_Fields, frozen=True):
    phase: str = ""
    reason: str = ""
    message: str = ""
    conditions: tuple[Condition, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()


class Pod(_Fields, frozen=True):
    """Pod of an engine, a gateway or a prewarm Job."""

    kind: ClassVar[Kind] = POD

    metadata: _PodMetadata
    spec: _PodSpec = _PodSpec()
    status: _PodStatus = _PodStatus()

    def condition(self, kind: str) -> Condition:
        """Return the condition of a type; an empty one when there is none."""
        return _find(self.status.conditions, kind)

    @property
    def is_ending(self) -> bool:
        """Whether the pod is being deleted."""
        return bool(self.metadata.deletion_timestamp)

    @property
    def is_over(self) -> bool:
        """Whether all its containers have ended, for good."""
        return self.status.phase in ("Failed", "Succeeded")

    @property
    def is_ready(self) -> bool:
        """Ready, and not being deleted."""
        return not self.is_ending and self.condition("Ready").is_true

    @property
    def is_unschedulable(self) -> bool:
        """Whether the scheduler found no node."""
        return self.condition("PodScheduled").is_false

    @property
    def deployment(self) -> str:
        """Name of the Deployment whose ReplicaSet controls the pod; empty when none does.

        A ReplicaSet is named after its Deployment, with a hash behind the last dash.
        """
        owner = next((owner for owner in self.metadata.owner_references if owner.controller), None)
        return owner.name.rpartition("-")[0] if owner is not None and owner.kind == "ReplicaSet" else ""

    @property
    def limits(self) -> Iterable[Mapping[str, str]]:
        """What each container may have of each resource."""
        return (container.resources.limits for container in self.spec.containers)


# --- nodes ----------------------------------------------------------------------------------------------------------------


class Taint(_Fields, frozen=True):
    """Taint of a node."""

    key: str = ""
    value: str = ""
    effect: str = ""


class _NodeMetadata(_Fields, frozen=True):
    name: str = ""
    labels: dict[str, str] = {}


class _NodeSpec(_Fields, frozen=True):
    taints: tuple[Taint, ...] = ()
    unschedulable: bool = False


class _NodeStatus(_Fields, frozen=True):
    allocatable: dict[str, str] = {}


class Node(_Fields, frozen=True):
    """Node with what it has and whom it takes."""

    kind: ClassVar[Kind] = NODE

    metadata: _NodeMetadata
    spec: _NodeSpec = _NodeSpec()
    status: _NodeStatus = _NodeStatus()


# --- what Hearth applies --------------------------------------------------------------------------------------------------


class _DeploymentSpec(_Fields, frozen=True):
    replicas: int = 1


class _DeploymentStatus(_Fields, frozen=True):
    available_replicas: int = 0
    conditions: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        force_setattr(self, "conditions", _only(self.conditions, "ReplicaFailure"))


class Deployment(_Fields, frozen=True):
    """Deployment of backends or of a gateway."""

    kind: ClassVar[Kind] = DEPLOYMENT

    metadata: _Name
    spec: _DeploymentSpec = _DeploymentSpec()
    status: _DeploymentStatus = _DeploymentStatus()

    @property
    def is_available(self) -> bool:
        """Whether it has an available replica."""
        return self.status.available_replicas > 0

    @property
    def replica_failure(self) -> Condition:
        """True while its pods cannot be created."""
        return _find(self.status.conditions, "ReplicaFailure")


class _JobStatus(_Fields, frozen=True):
    conditions: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        force_setattr(self, "conditions", _only(self.conditions, "Complete", "Failed"))


class Job(_Fields, frozen=True):
    """Job that prewarms a cache."""

    kind: ClassVar[Kind] = JOB

    metadata: _Annotated
    status: _JobStatus = _JobStatus()

    @property
    def is_complete(self) -> bool:
        """Whether it has succeeded."""
        return _find(self.status.conditions, "Complete").is_true

    @property
    def failure(self) -> Condition:
        """True when it has given up."""
        return _find(self.status.conditions, "Failed")


class _ClaimSpec(_Fields, frozen=True):
    storage_class_name: str = ""


class _ClaimStatus(_Fields, frozen=True):
    phase: str = ""


class Claim(_Fields, frozen=True):
    """PersistentVolumeClaim."""

    kind: ClassVar[Kind] = CLAIM

    metadata: _Annotated
    spec: _ClaimSpec = _ClaimSpec()
    status: _ClaimStatus = _ClaimStatus()


class _ServiceSpec(_Fields, frozen=True):
    cluster_ip: str = msgspec.field(name="clusterIP", default="")


class Service(_Fields, frozen=True):
    """Core Service."""

    kind: ClassVar[Kind] = SERVICE

    spec: _ServiceSpec = _ServiceSpec()


class _ScaledObjectStatus(_Fields, frozen=True):
    hpa_name: str = ""
    was_active: str | bool = msgspec.field(name="lastActiveTime", default=False)
    """Whether KEDA ever found demand. It writes the time at every look, so the time itself is not kept."""
    conditions: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        force_setattr(self, "was_active", bool(self.was_active))
        force_setattr(self, "conditions", _only(self.conditions, "Ready"))


class ScaledObject(_Fields, frozen=True):
    """ScaledObject of KEDA."""

    kind: ClassVar[Kind] = SCALED_OBJECT

    metadata: _Annotated
    status: _ScaledObjectStatus = _ScaledObjectStatus()

    @property
    def ready(self) -> Condition:
        """Whether KEDA scales its target."""
        return _find(self.status.conditions, "Ready")


View = Deployment | Job | Claim | Service | ScaledObject
"""What is kept of a child. Other kinds are compared by their digest alone."""

AnyView = TypeVar("AnyView", Deployment, Job, Claim, Service, ScaledObject)

_VIEWS: Mapping[Kind, type[View]] = {each.kind: each for each in (Deployment, Job, Claim, Service, ScaledObject)}


# --- reading --------------------------------------------------------------------------------------------------------------


def read(item: Mapping[str, Any], wanted: type[Read]) -> Read:
    """Return what is kept of an object on the wire form. Raises Malformed."""
    try:
        return msgspec.convert(item, wanted)
    except msgspec.ValidationError:
        pass
    try:
        return msgspec.convert(_without_nulls(item), wanted)
    except msgspec.ValidationError as exc:
        raise Malformed("InvalidObject", f"the API server sent {_named(item)}, which cannot be read: {exc}") from exc


def read_metadata(item: Mapping[str, Any]) -> Metadata:
    """Return the metadata of any object. Raises Malformed."""
    return read(item, _Anything).metadata


def read_managers(item: Mapping[str, Any]) -> tuple[FieldManager, ...]:
    """Return whose fields of an object are which. Raises Malformed."""
    return read(item, _Managed).metadata.managed_fields


def read_view(kind: Kind, item: Mapping[str, Any]) -> View | None:
    """Return what is kept of a child. Raises Malformed."""
    view = _VIEWS.get(kind)
    return None if view is None else read(item, view)


def _named(item: Mapping[str, Any]) -> str:
    """Return the name of an object of which nothing is known to be right."""
    metadata = item.get("metadata")
    names = [metadata.get("namespace"), metadata.get("name")] if isinstance(metadata, Mapping) else []
    return "/".join(str(name) for name in names if name) or "an object without a name"


def _without_nulls(value: Any) -> Any:
    """Return the value without fields that are null, which mean the same as absent ones."""
    if isinstance(value, Mapping):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_without_nulls(each) for each in value]
    return value
