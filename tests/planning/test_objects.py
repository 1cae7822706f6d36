"""Every object that is rendered: valid, and fitting the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hearth.api import HearthError, LLMService, load_manifests, parse_manifests
from hearth.planning import (
    NamespacePlan,
    Plan,
    PlanOptions,
    make_plan,
    plan_namespace,
)
from tests.planning.manifests import RUNTIME, SERVICES
from tests.planning.plans import OPTIONS, one, runtime, service, together
from tests.planning.test_laws import RUNTIMES, SPECS, maybe
from tests.planning.validity import check, of
from tests.planning.vendors.test_pods import EXAMPLES
from tests.planning.vendors.test_pods import HOST as VENDORS
from tests.planning.vendors.test_pods import RUNTIMES as SHIPPED
from tests.support.vendors import host

LONGEST = "a" * 55


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("name", SERVICES)
def test_golden_inputs_are_valid(name: str, options: PlanOptions) -> None:
    manifests = parse_manifests(f"{RUNTIME}\n---\n{SERVICES[name]}")
    [wanted] = manifests.services
    made = make_plan(wanted, runtimes=manifests.runtimes, host=host(), target="cluster", options=options)
    shared = plan_namespace(wanted.metadata.namespace, [made], options)
    check([*shared.objects, *made.objects])


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_objects_of_every_shipped_runtime_are_valid(name: str) -> None:
    spec = {"runtime": {"name": name}, "resources": {"memory": "64Gi"}, "cache": {"prewarm": True}}
    made = make_plan(service(spec), runtimes=[SHIPPED[name]], host=VENDORS, target="cluster")
    check(together([made]))
    assert len(of(made.objects, "Job")) == 1
    assert EXAMPLES


NAMES = st.one_of(st.from_regex(r"[a-z]([-a-z0-9]{0,53}[a-z0-9])?", fullmatch=True), st.just(LONGEST))


ENDPOINT = maybe(
    gateway=st.sampled_from(["shared", "dedicated"]),
    aliases=st.lists(st.sampled_from(["a", "b", "b c", " b", "b\n", "tiny", "Ünder"]), max_size=4),
    coldStart=maybe(mode=st.sampled_from(["keepalive", "reject"])),
)


MORE = st.fixed_dictionaries(
    {"spec": SPECS, "endpoint": ENDPOINT, "timeout": st.sampled_from(["0s", "90s", "5m"]), "secrets": st.integers(0, 2)}
)


ANY_NAMESPACE = {
    "wanted": st.dictionaries(NAMES, MORE, max_size=4),
    "acme": RUNTIMES,
    "path": st.sampled_from([None, "health", "/a b", "/x?y=%20&z", "/é"]),
    "options": st.sampled_from(OPTIONS),
}


@settings(max_examples=150, deadline=None)
@given(**ANY_NAMESPACE)
def test_any_services_of_a_namespace_are_valid_together(
    wanted: dict[str, Any], acme: Any, path: str | None, options: PlanOptions
) -> None:
    plans = plans_of(wanted, acme, path, options)
    shared = plan_namespace("ai", plans, options)
    assert shared == plan_namespace("ai", plans[::-1], options)
    check(applied(plans, shared))


def applied(plans: list[Plan], shared: NamespacePlan) -> list[Any]:
    """Return what an operator applies of them."""
    kept = [made for made in plans if made.service.metadata.name not in shared.refused]
    return [*shared.objects, *(item for made in kept for item in made.objects)]


def plans_of(wanted: dict[str, Any], acme: Any, path: str | None, options: PlanOptions) -> list[Plan]:
    """Return the plans of those services that have one."""
    if path is not None:
        acme = {**acme, "health": {"readiness": {"httpGet": {"path": path, "port": "http"}}}}
    plans = []
    for name, more in wanted.items():
        spec = more["spec"]
        spec["endpoint"] = more["endpoint"]
        spec["scaling"] = {**spec.get("scaling", {}), "activationTimeout": more["timeout"]}
        spec["imagePullSecrets"] = [{"name": f"secret-{number}"} for number in range(more["secrets"])]
        try:
            plans.append(
                make_plan(
                    service(spec, name=name),
                    runtimes=[runtime(acme), runtime(vendor="zeta")],
                    host=HOST,
                    target="cluster",
                    options=options,
                )
            )
        except HearthError:
            continue
    return plans


HOST = host("acme", "zeta")


def test_the_longest_name_fits_everywhere() -> None:
    for gateway in ("shared", "dedicated"):
        made = one({"endpoint": {"gateway": gateway}, "cache": {"prewarm": True}}, name=LONGEST)
        check(together([made]))
        [scaled] = of(made.objects, "ScaledObject")
        assert scaled["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["name"] == f"hpa-{LONGEST}"
    [scaled] = of(one(name="a" * 54).objects, "ScaledObject")
    assert "name" not in scaled["spec"]["advanced"]["horizontalPodAutoscalerConfig"]


def test_the_order_is_that_of_applying() -> None:
    made = one({"cache": {"prewarm": True}, "endpoint": {"gateway": "dedicated"}})
    assert [(item["kind"], item["metadata"]["name"]) for item in made.objects] == [
        ("PersistentVolumeClaim", "tiny-cache"),
        ("ServiceAccount", "tiny-gateway"),
        ("Role", "tiny-gateway"),
        ("RoleBinding", "tiny-gateway"),
        ("ConfigMap", "tiny-gateway"),
        ("Deployment", "tiny-gateway"),
        ("Service", "tiny-backend"),
        ("Service", "tiny"),
        ("Job", "tiny-prewarm"),
        ("Deployment", "tiny"),
        ("ScaledObject", "tiny"),
    ]
    shared = plan_namespace("ai", [one()])
    assert [(item["kind"], item["metadata"]["name"]) for item in shared.objects] == [
        (kind, "hearth-gateway")
        for kind in ("ServiceAccount", "Role", "RoleBinding", "ConfigMap", "Deployment", "Service")
    ]


def test_the_example_is_valid() -> None:
    example = Path(__file__).parents[2] / "examples" / "qwen3-8b.yaml"
    [wanted] = load_manifests([example]).services
    assert isinstance(wanted, LLMService)
    made = make_plan(wanted, runtimes=list(SHIPPED.values()), host=VENDORS, target="cluster")
    check(together([made]))
