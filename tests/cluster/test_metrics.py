"""Live programs expose every series that alerts and dashboard query: gateway, operator and engine."""

from __future__ import annotations

import re

from prometheus_client.parser import text_string_to_metric_families

from tests.chart.support import queries, selectors
from tests.cluster.clients import PROMPT
from tests.cluster.namespace import Namespace, steady

OPERATOR = "app.kubernetes.io/name=hearth-operator"


async def scraped(namespace: Namespace, where: str, labels: str, port: str) -> set[str]:
    """Return the names of the families that the pods with these labels expose."""
    found = set()
    async with namespace.http(30) as client:
        for pod in steady(await namespace.kube.list("Pod", where, labels)):
            ports = [each for part in pod["spec"]["containers"] for each in part.get("ports", ())]
            [number] = [each["containerPort"] for each in ports if each.get("name") == port]
            answer = await client.get(f"http://{pod['status']['podIP']}:{number}/metrics")
            assert answer.status_code == 200
            found |= {family.name for family in text_string_to_metric_families(answer.text)}
    return found


async def test_every_series_that_is_queried_is_exposed(namespace: Namespace) -> None:
    model = await namespace.service()
    answer = await model.client().chat.completions.create(model=model.name, messages=PROMPT)
    assert answer.choices
    await model.awake()
    exposed = {
        "hearth_operator": await scraped(namespace, "hearth-system", OPERATOR, "http"),
        "hearth_gateway": await scraped(namespace, namespace.name, "serving.hearth.dev/gateway=hearth-gateway", "http"),
        "vllm": await scraped(namespace, namespace.name, f"serving.hearth.dev/llmservice={model.name}", "http"),
    }
    exposed["process"] = exposed["hearth_operator"]
    for where, expression in queries():
        for selector in selectors(expression):
            [program] = [name for name in exposed if selector.name.startswith(name)]
            family = re.sub(r"_(total|bucket|sum|count)$", "", selector.name)
            assert {family, selector.name} & exposed[program], f"{where}: no {program} exposes {selector.name}"
