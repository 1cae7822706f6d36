"""The facts that hearth and the gateway both state: planning must not import the gateway, so they are compared here."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

import msgspec

from hearth.api import Duration
from hearth.api.fields import wire_fields
from hearth.api.service import ColdStart, Limits, Scaling
from hearth.planning import NOTICES_KEY, SERVICES_KEY, backend_name, plan_namespace
from hearth.planning.gateway.config import LONGEST_NOTICE
from hearth.planning.gateway.gateway import HTTP_PORT, SCALER_PORT
from hearth.planning.probes import HEALTH_PATH
from hearth.planning.scaledobject import POLLING_INTERVAL, queue_url
from hearth_gateway import Gateway, config, parse_service, parse_services
from hearth_gateway.__main__ import _parse
from hearth_gateway.cluster import contract
from hearth_gateway.cluster.configmap import MAX_NOTICE
from tests.planning.plans import gateway, one, service


def test_the_limits_have_one_set_of_names_and_defaults() -> None:
    assert Limits().to_wire() == msgspec.to_builtins(config.Limits())


def test_a_cold_start_has_one_set_of_defaults() -> None:
    entry = config.ServiceConfig(name="any")
    assert ColdStart().mode == entry.cold_start.mode
    assert ColdStart().heartbeat_interval == Duration.from_seconds(entry.cold_start.heartbeat_interval_seconds)
    assert Scaling().activation_timeout == Duration.from_seconds(entry.activation_timeout_seconds)


def test_every_field_of_a_cold_start_reaches_the_gateway() -> None:
    fields = {field.removesuffix("Seconds") for field in msgspec.to_builtins(config.ColdStart())}
    assert fields == {*wire_fields(ColdStart)}


def test_the_gateway_reads_every_entry_as_it_was_meant() -> None:
    limits = {"maxHeld": 1, "maxHeldBytes": 2, "maxInFlight": 3, "maxRequestBytes": 4}
    made = one({"endpoint": {"limits": limits}})
    assert msgspec.to_builtins(parse_service(made.gateway).limits) == limits


def test_a_trigger_without_a_target_means_the_default_of_the_field() -> None:
    assert Scaling().target == contract.DEFAULT_TARGET


def test_demand_outlives_two_polls_of_keda() -> None:
    assert POLLING_INTERVAL <= contract.KEDA_POLLING_INTERVAL


def test_the_gateway_finds_the_service_of_the_backends() -> None:
    assert backend_name(service()) == f"tiny{contract.BACKEND_SUFFIX}"
    assert (HTTP_PORT, SCALER_PORT) == (contract.BACKEND_PORT, contract.SCALER_PORT)


def test_the_gateway_reads_the_keys_of_its_config_map() -> None:
    assert (SERVICES_KEY, NOTICES_KEY) == (contract.SERVICES_KEY, contract.NOTICES_KEY)
    assert LONGEST_NOTICE <= MAX_NOTICE


def test_the_gateway_probes_where_an_engine_says_that_it_is_healthy() -> None:
    assert config.Probe().path == HEALTH_PATH


def test_the_gateway_takes_the_arguments_of_its_pods() -> None:
    found = _parse(container()["args"])
    assert [found.listen.port, found.scaler_listen.port] == [port["containerPort"] for port in container()["ports"]]


async def test_the_gateway_answers_the_probes_of_its_pods_and_keda() -> None:
    probes = [container()[probe]["httpGet"]["path"] for probe in ("readinessProbe", "livenessProbe")]
    embedded = Gateway()
    await embedded.start("127.0.0.1", 0)
    try:
        embedded.apply(parse_services({"services": [one().gateway]}))
        for path in (*probes, urlsplit(queue_url(service())).path):
            assert await status(embedded.port, path) == "200"
    finally:
        await embedded.stop(1)


def container() -> Any:
    [found] = gateway(plan_namespace("ai", [one()]))["Deployment"]["spec"]["template"]["spec"]["containers"]
    return found


async def status(port: int, path: str) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: any\r\nConnection: close\r\n\r\n".encode())
    line = await reader.readline()
    writer.close()
    return line.decode().split()[1]
