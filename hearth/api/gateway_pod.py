"""The pods of the gateways, as the owner of a cluster configures them: an option of the operator and of `hearth render`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError

from hearth.api.base import Items, Model
from hearth.api.core import Toleration
from hearth.api.documents import read_documents
from hearth.api.errors import HearthError
from hearth.api.messages import explain
from hearth.api.names import SubdomainName
from hearth.api.quantities import Quantity
from hearth.api.wording import spelled


class Amounts(Model):
    """What a container asks for, and what it may have at most."""

    requests: dict[str, Quantity] = Field({}, description="Resources that are reserved.")
    limits: dict[str, Quantity] = Field({}, description="Resources that it may have at most.")


class GatewayPod(Model):
    """What a cluster's owner says about the pods of every gateway, in the words of a pod's spec.

    Large requests may take 512 MiB, over all services. By default there is no CPU limit, which would add latency, and little is
    reserved: most namespaces' models sleep most of the time.
    """

    resources: Amounts = Field(
        Amounts.model_validate({"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "2Gi"}}),
        description="Of the gateway's container.",
    )
    image_pull_policy: Literal["IfNotPresent", "Always", "Never"] | None = Field(None, description="Of its image.")
    image_pull_secrets: Items[SubdomainName] = Field((), description="Names of Secrets in the gateways' namespaces.")
    node_selector: dict[str, str] = Field({}, description="Labels of the nodes that gateways run on.")
    tolerations: Items[Toleration] = Field((), description="Taints of nodes that gateways may run on.")
    priority_class_name: str = Field("", description="The PriorityClass of the pods.")

    def spec(self) -> Mapping[str, Any]:
        """Return the fields of a pod's spec that are given."""
        found = {
            "imagePullSecrets": [{"name": name} for name in self.image_pull_secrets],
            "nodeSelector": dict(self.node_selector),
            "tolerations": [each.to_wire() for each in self.tolerations],
            "priorityClassName": self.priority_class_name,
        }
        return {name: value for name, value in found.items() if value}

    def container(self) -> Mapping[str, Any]:
        """Return the fields of its container that are given."""
        policy = {"imagePullPolicy": self.image_pull_policy} if self.image_pull_policy else {}
        return {**policy, "resources": self.resources.to_wire(defaults=False)}


def parse_gateway_pod(text: str) -> GatewayPod:
    """Read a GatewayPod from JSON. Raises HearthError, with the path of the field that is wrong."""
    documents, faults = read_documents(text)
    if faults or len(documents) != 1 or documents[0].root is None:
        raise HearthError(
            f"{text!r} is not one JSON object", 'write {"resources": {"limits": {"memory": "4Gi"}}}, for example'
        )
    root = documents[0].root
    try:
        return GatewayPod.model_validate(root.value)
    except ValidationError as error:
        fault = explain(error.errors()[0], root, GatewayPod)
        raise HearthError(f"{spelled(fault.path) or 'it'}: {fault.message}", fault.remedy) from None
