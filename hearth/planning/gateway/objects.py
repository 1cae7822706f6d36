"""The objects of one gateway, in the order of applying."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hearth.planning.gateway.access import gateway_access
from hearth.planning.gateway.config import gateway_config
from hearth.planning.gateway.deployment import gateway_deployment
from hearth.planning.gateway.gateway import Gateway
from hearth.planning.options import PlanOptions


def gateway_objects(
    gateway: Gateway, entries: Sequence[Mapping[str, Any]], options: PlanOptions
) -> tuple[Mapping[str, Any], ...]:
    """Return the objects of a gateway that serves `entries`.

    Only the ConfigMap and the pull secrets of the ServiceAccount depend on the services.
    """
    return (
        *gateway_access(gateway),
        gateway_config(gateway, entries),
        *gateway_deployment(gateway, options),
    )
