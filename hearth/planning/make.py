"""The making of a plan: the steps from a service to everything that follows from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from hearth.api import HearthError, InferenceRuntime, LLMService
from hearth.planning.accelerator import plan_devices
from hearth.planning.adaptation import merge_adaptation
from hearth.planning.cache import plan_cache
from hearth.planning.errors import PlanningError
from hearth.planning.explanation import explain
from hearth.planning.gateway.entry import gateway_entry
from hearth.planning.lifecycle import plan_ending
from hearth.planning.metrics import runtime_metrics, vendor_metrics
from hearth.planning.model import resolve_model
from hearth.planning.objects import service_objects
from hearth.planning.options import DEFAULT_OPTIONS, PlanOptions
from hearth.planning.plan import Draft, Plan
from hearth.planning.pod import PodInputs, build_pod, render_args
from hearth.planning.probes import merge_probes
from hearth.planning.scaling import plan_scaling
from hearth.planning.selection import select_runtime
from hearth.planning.target import Target
from hearth.planning.templates import template_values
from hearth.planning.unsupported import check_supported
from hearth.planning.warnings import warn
from hearth.plugins import (
    PluginRejects,
    PodAdaptation,
    RenderContext,
    VendorHost,
)

_NONE: Mapping[str, HearthError] = {}


def make_plan(
    service: LLMService,
    *,
    runtimes: Sequence[InferenceRuntime],
    host: VendorHost,
    target: Target,
    options: PlanOptions = DEFAULT_OPTIONS,
    invalid: Mapping[str, HearthError] = _NONE,
) -> Plan:
    """Plan a service. Pure: the same arguments give the same plan, and nothing outside of them is read.

    `runtimes` are all that may be chosen, see `available_runtimes`; `invalid` are those that cannot be read, by name,
    see `select_runtime`. Raises PlanningError for what the user can put
    right and PluginError for what a plugin gets wrong; both are HearthErrors.
    """
    check_supported(service, target)
    selection = select_runtime(service, runtimes, host, target, invalid)
    runtime = selection.runtime
    model = resolve_model(service, target)
    ctx = RenderContext(service, runtime, model)
    vendor = host.info(runtime)
    with _rejections(runtime):
        devices = plan_devices(ctx, host, vendor, target)
        vendor_env = host.env(ctx)
        vendor_probes = host.probes(ctx)
        metrics = runtime_metrics(runtime) or vendor_metrics(runtime, host.metrics(ctx))
        vendor_adaptation = host.pod(ctx) if target == "cluster" else None
    adaptation, adaptation_notes = (
        merge_adaptation(runtime, vendor_adaptation) if target == "cluster" else (PodAdaptation(), ())
    )
    templates = template_values(service, model, devices.count, options.image_registry)
    args = render_args(ctx, templates, devices.count)
    probes = merge_probes(runtime, vendor_probes)
    ending = plan_ending(service, runtime, args)
    cache = plan_cache(service, runtime, model, target)
    inputs = PodInputs(
        ctx=ctx,
        templates=templates,
        args=args,
        accelerator=devices.request,
        devices=devices.count,
        vendor_env=vendor_env,
        adaptation=adaptation,
        probes=probes,
        ending=ending,
        cache=cache,
    )
    pod, notes = build_pod(inputs, host)
    draft = Draft(
        service=service,
        runtime=runtime,
        vendor=vendor,
        model=model,
        target=target,
        options=options,
        pod=pod,
        probes=probes,
        metrics=metrics,
        gateway=gateway_entry(service, probes.readiness),
        scaling=plan_scaling(service, runtime),
        ending=ending,
        devices=devices.count,
        no_device_env=adaptation.no_device_env,
    )
    return Plan.of(
        draft,
        objects=service_objects(draft) if target == "cluster" else (),
        reasons=(*selection.reasons, *explain(draft)),
        warnings=(*selection.warnings, *warn(draft), *devices.request.notes, *adaptation_notes, *notes),
    )


@contextmanager
def _rejections(runtime: InferenceRuntime) -> Iterator[None]:
    try:
        yield
    except PluginRejects as exc:
        raise PlanningError(
            exc.reason,
            f"vendor {runtime.spec.vendor!r}: {exc.message}",
            f"change the service or choose another runtime than {runtime.metadata.name!r}",
        ) from exc
