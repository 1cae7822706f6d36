"""Status of a cluster: what runs, and what is missing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tools.devcluster import control, keda, node
from tools.devcluster.api import condition
from tools.devcluster.config import Claim
from tools.devcluster.errors import ApiError, NodeError, NotRunningError
from tools.devcluster.nodestatus import STANDARD
from tools.devcluster.paths import Paths


@dataclass(slots=True)
class Status:
    """A look at a cluster. `state` is one of: absent, dead, incomplete, up."""

    name: str
    state: str = "absent"
    claim: Claim | None = None
    pid: int | None = None
    faults: list[str] = field(default_factory=list)
    components: dict[str, dict[str, Any]] = field(default_factory=dict)
    version: str = ""
    node_ready: bool = False
    dns: bool = False
    keda_installed: bool | None = None
    keda_available: bool = False
    accelerators: dict[str, str] = field(default_factory=dict)


def look(paths: Paths) -> Status:
    """Look at a cluster; what is missing is named in `faults`.

    Raises UsageError when a cluster of this name belongs to another state folder.
    """
    node.check_ours(paths)
    status = Status(paths.name, claim=node.read_claim(paths))
    left = node.remains(paths, status.claim)
    if not left:
        return status
    status.pid = control.init_pid(paths)
    if status.claim is None or status.pid is None:
        status.state = "dead"
        status.faults.append(
            f"the node is not running; remaining: {', '.join(left)}; `up` starts it again, `down` removes the rest"
        )
        return status
    status.state = "incomplete"
    try:
        answer = control.ask(paths, {"do": "status"})
    except (NodeError, NotRunningError) as error:
        status.faults.append(str(error))
        return status
    if not answer["began"]:
        status.faults.append("the bring-up was interrupted; `up` goes on with it")
        return status
    status.components = answer["components"]
    for name, item in status.components.items():
        if not item["wanted"]:
            status.faults.append(f"{name} is stopped; start it with: start-component {name}")
        elif not item["running"]:
            status.faults.append(
                f"{name} does not run (last exit: {item['last_exit'] or 'none'}); see {paths.logs}/{name}.log"
            )
    if "network link" not in left:
        status.faults.append("the link to the node is gone; `up` makes it again")
    try:
        _look_inside(status, paths)
    except ApiError as error:
        status.faults.append(str(error))
    if not status.faults:
        status.state = "up"
    return status


def _look_inside(status: Status, paths: Paths) -> None:
    assert status.claim is not None
    api = node.api(status.claim, paths, timeout=2)
    status.version = api.get("/version")["gitVersion"]
    found = api.node(status.claim.node)
    status.node_ready = condition(found, "Ready") == "True"
    if not status.node_ready:
        status.faults.append(f"node {status.claim.node} is not Ready")
    offered = ((found or {}).get("status") or {}).get("allocatable") or {}
    status.accelerators = {
        key: amount for key, amount in offered.items() if key not in STANDARD and not key.startswith("hugepages-")
    }
    dns = "/apis/apps/v1/namespaces/kube-system/deployments/coredns"
    status.dns = not api.missing(dns) and condition(api.get(dns), "Available") == "True"
    if not status.dns:
        status.faults.append("CoreDNS is not available")
    status.keda_installed = keda.installed(api)
    status.keda_available = status.keda_installed and keda.available(api)
    if status.keda_installed and not status.keda_available:
        status.faults.append("KEDA is not available")
