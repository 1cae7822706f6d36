"""The binding of planned objects to a live cluster: values that no plan can know, because the cluster assigns them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hearth.planning.gateway.config import with_notices
from hearth.planning.gateway.deployment import with_account
from hearth.planning.labels import GATEWAY_LABEL
from hearth.planning.prewarm import with_nodes
from hearth.planning.scaledobject import with_gateway_ip


@dataclass(frozen=True, slots=True)
class LiveValues:
    """Values of a live cluster. One that is absent leaves the objects as they were planned.

    `account_uid` is the uid of the gateway's ServiceAccount, `gateway_ip` the cluster IP of its Service. `hostnames` are
    the nodes on which the prewarm Job may run. `notices` are sentences for clients that wait, by the name of the service.
    """

    account_uid: str | None = None
    gateway_ip: str | None = None
    hostnames: tuple[str, ...] = ()
    notices: Mapping[str, str] = field(default_factory=dict)


def bind(item: Mapping[str, Any], live: LiveValues) -> Mapping[str, Any]:
    """Return a planned object with the live values that concern it; the object itself when none does."""
    match item["kind"]:
        case "ConfigMap" if live.notices:
            return with_notices(item, live.notices)
        case "Deployment" if live.account_uid and GATEWAY_LABEL in item["spec"]["template"]["metadata"]["labels"]:
            return with_account(item, live.account_uid)
        case "Job" if live.hostnames:
            return with_nodes(item, live.hostnames)
        case "ScaledObject" if live.gateway_ip:
            return with_gateway_ip(item, live.gateway_ip)
        case _:
            return item
