"""The gateway that serves a service."""

from __future__ import annotations

import pytest

from hearth.planning import (
    gateway_name,
    gateway_service_name,
    identity,
    plan_namespace,
)
from tests.planning.plans import one
from tests.planning.validity import of


@pytest.mark.parametrize(("gateway", "expected"), [("shared", "hearth-gateway"), ("dedicated", "own")])
def test_which_gateway_serves_a_service(gateway: str, expected: str) -> None:
    made = one({"endpoint": {"gateway": gateway}}, name="own")
    name = gateway_name(made.service)
    found = of([*plan_namespace("ai", [made]).objects, *made.objects], "Deployment", "ConfigMap")
    [deployment] = [item for item in found if (item["kind"], item["metadata"]["name"]) == ("Deployment", name)]
    assert ("ConfigMap", name) in [identity(item) for item in found]
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    assert f"--peers={gateway_service_name(made.service)}" in container["args"]
    assert gateway_service_name(made.service) == expected
