"""Laws of planning: total, deterministic, isolated, and nothing changes but what was asked for."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hearth.api import HearthError
from hearth.planning import Plan, as_document, local_launch, make_plan
from hearth.plugins import VendorHost
from tests.planning.plans import ARGS, runtime, service
from tests.support.vendors import host, plugin

SCHEMES = ["hf://a/b", "modelscope://a/b", "pvc://w/x", "file:///m", "s3://x", "hf://a/b/c", ""]
ARGUMENTS = st.lists(
    st.sampled_from(
        [*ARGS, "{{ .Nope }}", "{{ .Service.Accelerators }}", "--port", "9", "-tp=2", "--shutdown-timeout=9"]
    )
)


def maybe(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


SPECS = st.fixed_dictionaries(
    {"model": st.sampled_from(SCHEMES).filter(bool).map(lambda uri: {"source": {"uri": uri}})},
    optional={
        "runtime": maybe(
            name=st.sampled_from(["vllm-acme", "vllm-zeta", "ghost"]),
            selector=st.lists(st.sampled_from(["acme", "zeta", "ghost"]), max_size=3).map(lambda v: {"vendor": v}),
            argsOverride=ARGUMENTS,
        ),
        "resources": maybe(accelerators=st.integers(1, 4), memory=st.sampled_from(["1Gi", "64Gi"])),
        "scaling": maybe(
            min=st.integers(0, 1), max=st.integers(1, 4), drainTimeout=st.sampled_from(["0s", "1500ms", "2m"])
        ),
        "cache": maybe(
            strategy=st.sampled_from(["NodeLocalPVC", "HostPath", "SharedPVC", "None"]), prewarm=st.booleans()
        ),
        "endpoint": maybe(coldStart=maybe(mode=st.sampled_from(["keepalive", "reject"]))),
    },
)
RUNTIMES = maybe(
    priority=st.integers(-1, 1),
    lifecycle=maybe(preStopDrain=st.booleans(), terminationGracePeriodSeconds=st.integers(1, 90)),
    health=maybe(startup=st.sampled_from([{}, {"periodSeconds": 2}, {"tcpSocket": {"port": "http"}}])),
    container=ARGUMENTS.map(lambda args: {"image": "e", "args": args}),
)


@settings(max_examples=100, deadline=None)
@given(spec=SPECS, acme=RUNTIMES, zeta=RUNTIMES, target=st.sampled_from(["cluster", "local"]))
def test_every_service_gets_a_plan_or_a_reason(spec: Any, acme: Any, zeta: Any, target: Any) -> None:
    runtimes = [runtime(acme, vendor="acme"), runtime(zeta, vendor="zeta")]
    try:
        made = make_plan(service(spec), runtimes=runtimes, host=HOST, target=target)
    except HearthError as refusal:
        said = refusal.message and refusal.remedy
    else:
        said = check(made, make_plan(service(spec), runtimes=runtimes[::-1], host=NOISY, target=target))
    assert said


def check(made: Plan, again: Plan) -> str:
    """Check a plan and the same plan among other plugins, in another order; return why its runtime was chosen."""
    document = as_document(made)
    assert json.loads(json.dumps(document)) == document
    assert json.loads(json.dumps(made.objects)) == list(made.objects)
    assert made == again
    assert made.devices == made.service.spec.resources.accelerators
    if made.target == "local":
        launch = local_launch(made, host=HOST, devices=["0"], port=9001)
        assert launch.argv[-4:] == ("--host", "127.0.0.1", "--port", "9001")
        assert launch.grace_period >= launch.drain_timeout
    return str(made.reasons[0])


def plan_of(spec: Any = None, **metadata: Any) -> Plan:
    return make_plan(service(spec, **metadata), runtimes=[runtime()], host=HOST, target="cluster")


@given(count=st.integers(1, 64))
def test_accelerators_count_devices_and_cpu_does_not(count: int) -> None:
    made = plan_of({"resources": {"accelerators": count, "cpu": "7"}})
    assert made.serving["resources"]["limits"] == {"acme.dev/chip": str(count)}
    assert made.devices == count


@settings(max_examples=25)
@given(name=st.from_regex(r"z[a-z]{3,20}", fullmatch=True))
def test_another_name_changes_derived_names_only(name: str) -> None:
    before = json.dumps(plan_of(name="placeholder").objects)
    assert json.loads(before.replace("placeholder", name)) == list(plan_of(name=name).objects)


def _broken() -> None:
    raise RuntimeError("never called for another vendor")


HOST = host("acme", "zeta")
NOISY = VendorHost.of(
    {
        "broken": plugin(
            "broken", capabilities=("local",), hearth_env=_broken, hearth_pod=_broken, hearth_accelerator=_broken
        ),
        "zeta": plugin("zeta", capabilities=("local",)),
        "wrong": object(),
        "acme": plugin("acme", capabilities=("local",)),
    }
)
"""The same vendors among others that are broken, in another order: no plan may tell the difference."""
