"""The ScaledObject: what KEDA asks, whom, and how often."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

from hearth.planning import (
    Plan,
)
from hearth_gateway import Gateway, parse_services
from tests.planning.plans import OPTIONS, one, plan
from tests.planning.validity import of


def scaled(made: Plan) -> Any:
    [item] = of(made.objects, "ScaledObject")
    return item["spec"]


def test_keda_is_told_at_once_or_asks() -> None:
    scaling = {"scaling": {"max": 3, "target": 4, "scaleDownStabilization": "90s"}}
    assert scaled(one(scaling)) == {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "tiny"},
        "minReplicaCount": 0,
        "maxReplicaCount": 3,
        "pollingInterval": 5,
        "cooldownPeriod": 90,
        "initialCooldownPeriod": 90,
        "advanced": {"horizontalPodAutoscalerConfig": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 90}}}},
        "triggers": [
            {
                "type": "external-push",
                "metadata": {"scalerAddress": "hearth-gateway.ai.svc:9090", "targetValue": "4"},
            }
        ],
    }
    assert scaled(one(scaling, options=OPTIONS[1]))["triggers"] == [
        {
            "type": "metrics-api",
            "metadata": {
                "url": "http://tiny.ai.svc/tiny/hearth/queue",
                "valueLocation": "pending",
                "targetValue": "4",
                "activationTargetValue": "0",
            },
        }
    ]


def test_a_service_may_choose_its_scaler() -> None:
    for cluster in OPTIONS:
        for mode, kind in (("push", "external-push"), ("metrics-api", "metrics-api")):
            made = one({"scaling": {"scaler": mode}}, options=cluster)
            assert [trigger["type"] for trigger in scaled(made)["triggers"]] == [kind]
            assert f"({kind}, " in made.reasons[-1].text
    local = plan({"scaling": {"scaler": "push"}}, target="local")
    assert "spec.scaling.scaler push has no effect: local mode does not use KEDA" in local.warnings


def test_keda_asks_a_gateway_of_its_own() -> None:
    [trigger] = scaled(one({"endpoint": {"gateway": "dedicated"}}))["triggers"]
    assert trigger["metadata"]["scalerAddress"] == "tiny.ai.svc:9090"


async def test_the_gateway_answers_where_keda_asks() -> None:
    made = one(options=OPTIONS[1])
    url = urlsplit(scaled(made)["triggers"][0]["metadata"]["url"])
    gateway = Gateway()
    await gateway.start("127.0.0.1", 0)

    async def ask() -> tuple[bytes, bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(f"GET {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\nConnection: close\r\n\r\n".encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        return head.split()[1], body

    try:
        gateway.apply(parse_services({"services": [{**made.gateway, "name": "other"}]}))
        assert (await ask())[0] == b"404"  # not the demand of another
        gateway.apply(parse_services({"services": [made.gateway]}))
        status, body = await ask()
        assert (status, json.loads(body)["pending"]) == (b"200", 0)
    finally:
        await gateway.stop(1)


def test_a_service_that_never_sleeps_has_nothing_of_sleeping() -> None:
    spec = scaled(one({"scaling": {"min": 1, "max": 2}}))
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (1, 2)
    assert not {"pollingInterval", "cooldownPeriod", "initialCooldownPeriod", "fallback", "idleReplicaCount"} & set(
        spec
    )
