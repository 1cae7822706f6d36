"""Hooks of a vendor plugin: what each returns, when it is called, and what None means.

All hooks are synchronous and pure: no file, network, process, clock or environment. The same arguments give the same
result. A hook may leave out arguments that it does not use. A hook that cannot serve what the user asks for raises
`PluginRejects(reason, message)`; any other exception is reported as a fault of the plugin.

Only `hearth_vendor` is required. One service calls the hooks of one vendor. Sources of the design: pytest's and
datasette's hookspecs (docstrings that say when), conda's typed results.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from hearth.api import EnvVar
    from hearth.plugins.types import (
        AcceleratorRequest,
        MetricsEndpoint,
        PodAdaptation,
        ProbeSet,
        RenderContext,
    )
    from hearth.plugins.vendor import Device, InventoryOutput, InventorySource, LocalLaunch, RuntimeManifest, VendorInfo

PROJECT = "hearth"
ENTRY_POINT_GROUP = "hearth.vendors"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec(firstresult=True)
def hearth_vendor() -> VendorInfo:
    """Return the identity of the plugin.

    Called once, when the plugin is loaded. `VendorInfo.name` must equal the entry point's name.
    Required: a plugin without it, or with one that returns None, is refused.
    """
    raise NotImplementedError


@hookspec(firstresult=True)
def hearth_runtimes() -> Iterable[RuntimeManifest] | None:
    """Return the InferenceRuntimes that the plugin ships, usually `packaged_runtimes(__package__)`.

    Called when runtimes are listed or selected. Each file holds one InferenceRuntime with this plugin's vendor, named
    as its `RuntimeManifest.name`. A runtime of the user with the same name replaces it.
    None: the plugin ships none.
    """
    raise NotImplementedError


@hookspec(firstresult=True)
def hearth_accelerator(ctx: RenderContext) -> AcceleratorRequest | None:
    """Return the device request of one replica.

    Called once per plan. Amounts are whole devices, or units of the vendor's device plugin.
    None: `{runtime.spec.accelerator.resourceName: service.spec.resources.accelerators}` with the runtime's node
    selector, tolerations and scheduler. A vendor with the capability `fraction` must answer when
    `service.spec.resources.fraction` is set.
    """
    raise NotImplementedError


@hookspec(firstresult=True)
def hearth_env(ctx: RenderContext) -> Sequence[EnvVar] | None:
    """Return environment variables for the serving container, on both targets.

    Called once per plan. A variable of the runtime with the same name wins, and the plan says so. Never return the
    variables that a device plugin sets in pods (`NVIDIA_VISIBLE_DEVICES`, `ASCEND_VISIBLE_DEVICES`).
    None: nothing is added.
    """
    raise NotImplementedError


@hookspec(firstresult=True)
def hearth_probes(ctx: RenderContext) -> ProbeSet | None:
    """Return probes for those that the runtime leaves unset.

    Called once per plan. Times are whole seconds, as in Kubernetes.
    None: startup and readiness are GET /health on the container's port, startup every 10 s for 60 times.
    """
    raise NotImplementedError


@hookspec(firstresult=True)
def hearth_metrics(ctx: RenderContext) -> MetricsEndpoint | None:
    """Return the endpoint of the engine's Prometheus metrics, and their names.

    Called once per plan when the runtime has no `metrics`.
    None: `runtime.spec.metrics`, which may be absent; then nothing is scraped.
    """
    raise NotImplementedError


@hookspec(firstresult=True)
def hearth_pod(ctx: RenderContext) -> PodAdaptation | None:
    """Return what the pod needs around its devices: host mounts, runtime class, annotations, security, shared memory.

    Called once per plan for the cluster target. Names and mount paths must be unique; those of the host are reserved.
    None: nothing is added.
    """
    raise NotImplementedError


@hookspec(firstresult=True)
def hearth_local_command(ctx: RenderContext, devices: Sequence[str]) -> LocalLaunch | None:
    """Return the command that starts the engine as a process which sees only `devices`.

    Called before every start of a replica on one machine; `devices` are ids from `hearth_local_devices`. The host
    appends the runtime's rendered arguments and the port to `argv`.
    None: the vendor cannot run on one machine.
    """
    raise NotImplementedError


@hookspec(firstresult=True)
def hearth_local_inventory() -> InventorySource | None:
    """Return what the host reads to list the devices of this machine.

    Called when local mode starts. The host runs the command and reads the variables; the plugin touches neither.
    None: there is nothing to read; `hearth_local_devices` gets an empty output.
    """
    raise NotImplementedError


@hookspec(firstresult=True)
def hearth_local_devices(output: InventoryOutput) -> Sequence[Device] | None:
    """Parse what the host read into the devices of this machine, in the order of allocation.

    Called when local mode starts. Ids are unique. Raise PluginRejects when the output cannot be parsed.
    None: no devices.
    """
    raise NotImplementedError
