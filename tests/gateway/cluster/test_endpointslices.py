"""EndpointSlices as backends and peers."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth_gateway import Endpoint
from hearth_gateway.cluster.endpointslices import EndpointSlice, Slices, endpoints, fallback, peers


def decode(document: dict[str, Any]) -> EndpointSlice:
    return msgspec.json.decode(msgspec.json.encode(document), type=EndpointSlice)


def a_slice(*found: dict[str, Any], name: str = "s", service: str | None = "m-backend", **more: Any) -> EndpointSlice:
    labels = {} if service is None else {"kubernetes.io/service-name": service}
    document = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": labels, "resourceVersion": "7", "generation": 3},
        "addressType": "IPv4",
        "endpoints": list(found),
        "ports": [{"name": "metrics", "port": 9}, {"name": "http", "port": 8000, "protocol": "TCP"}],
        **more,
    }
    return decode(document)


def endpoint(address: str = "10.0.0.1", pod: str | None = "p", **conditions: bool | None) -> dict[str, Any]:
    found: dict[str, Any] = {"addresses": [address], "conditions": conditions, "nodeName": "n", "zone": "z"}
    if pod is not None:
        found["targetRef"] = {"kind": "Pod", "name": pod, "uid": f"u-{pod}"}
    return found


@pytest.mark.parametrize(
    ("conditions", "ready", "terminating"),
    [
        ({"ready": True, "serving": True, "terminating": False}, True, False),
        ({"ready": False, "serving": False, "terminating": False}, False, False),
        ({"ready": False, "serving": True, "terminating": True}, False, True),
        ({"ready": True, "serving": True, "terminating": True}, False, True),  # publishNotReadyAddresses
        ({}, True, False),
        ({"ready": None}, True, False),
    ],
)
def test_conditions(conditions: dict[str, Any], ready: bool, terminating: bool) -> None:
    [found] = endpoints([a_slice(endpoint(**conditions))])
    assert found == Endpoint("u-p", "10.0.0.1", 8000, ready, terminating)


def test_what_may_be_missing() -> None:
    assert endpoints([]) == []
    assert endpoints([a_slice(ports=None), a_slice(endpoints=None)]) == []
    assert endpoints([a_slice(endpoint(), ports=None), a_slice(endpoint(), ports=[])]) == []
    assert endpoints([a_slice(endpoint(), ports=[{"name": "http"}])]) == []
    assert endpoints([a_slice(endpoint(), ports=[{"port": 80}])]) == []
    assert endpoints([a_slice({"addresses": []})]) == []
    assert endpoints([a_slice({"addresses": ["10.0.0.9"]})]) == [
        Endpoint("10.0.0.9:8000", "10.0.0.9", 8000, ready=True)
    ]
    assert endpoints([a_slice(endpoint("example.com"), addressType="FQDN")]) == []


def test_both_address_families_of_a_pod_are_one_backend() -> None:
    six = a_slice(endpoint("fd00::1", ready=False), endpoint("fd00::2", "q"), name="a", addressType="IPv6")
    four = a_slice(endpoint("10.0.0.1", ready=True), name="b")
    assert endpoints([six, four]) == [
        Endpoint("u-p", "10.0.0.1", 8000, ready=True),
        Endpoint("u-q", "fd00::2", 8000, ready=True),
    ]


def test_a_pod_in_two_slices() -> None:
    slices = [a_slice(endpoint(ready=False), name="a"), a_slice(endpoint(ready=True), name="b")]
    assert endpoints(slices) == endpoints(slices[::-1]) == [Endpoint("u-p", "10.0.0.1", 8000, ready=True)]
    slices = [a_slice(endpoint(ready=False, terminating=True), name="a"), a_slice(endpoint(ready=True), name="b")]
    assert [each.terminating for each in endpoints(slices)] == [True]


def test_slices_of_several_ports_and_pages() -> None:
    """A Service with a named target port has a slice for each number that its pods have."""
    slices = [
        a_slice(endpoint("10.0.0.1", "a"), name="x"),
        a_slice(endpoint("10.0.0.2", "b"), name="y", ports=[{"name": "http", "port": 8001}]),
    ]
    assert [(each.address, each.port) for each in endpoints(slices)] == [("10.0.0.1", 8000), ("10.0.0.2", 8001)]


def test_peers() -> None:
    ports = [{"name": "http", "port": 8080}, {"name": "scaler", "port": 9191}]
    found = a_slice(
        endpoint("10.0.0.1", "me", ready=True),
        endpoint("10.0.0.2", "starts", ready=False),
        endpoint("10.0.0.3", "goes", ready=False, serving=False, terminating=True),
        endpoint("10.0.0.4", None),
        ports=ports,
    )
    assert peers([found], "scaler", 9090, "me") == {
        "starts": "10.0.0.2:9191",
        "goes": "10.0.0.3:9191",
        "10.0.0.4": "10.0.0.4:9191",
    }
    six = a_slice(endpoint("fd00::2", "starts"), endpoint("fd00::5", "only"), addressType="IPv6")
    assert peers([six, found], "scaler", 9090, "me")["starts"] == "10.0.0.2:9191"
    assert peers([six], "scaler", 9090, "me") == {"starts": "[fd00::2]:9090", "only": "[fd00::5]:9090"}
    assert len(peers([found], "scaler", 9090, "")) == 4


SLICES = st.builds(
    lambda name, service, pods: a_slice(
        *(endpoint(f"10.0.0.{pod}", str(pod)) for pod in pods), name=name, service=service
    ),
    st.sampled_from("abcd"),
    st.sampled_from(["m-backend", "n-backend", None]),
    st.sets(st.integers(1, 3)),
)


STEPS = st.one_of(
    st.tuples(st.just("put"), SLICES),
    st.tuples(st.just("remove"), SLICES),
    st.tuples(st.just("replace"), st.lists(SLICES, max_size=3, unique_by=lambda each: each.metadata.name)),
)


@given(st.lists(STEPS))
def test_the_table_follows_every_event(steps: list[Any]) -> None:
    """The names of the changed Services are enough to know everything."""
    table = Slices()
    model: dict[str, EndpointSlice] = {}
    seen: dict[str, list[Endpoint]] = {}
    for kind, what in steps:
        if kind == "put":
            model[what.metadata.name] = what
            changed = table.put(what)
        elif kind == "remove":
            model.pop(what.metadata.name, None)
            changed = table.remove(what)
        else:
            model = {each.metadata.name: each for each in what}
            changed = table.replace(what)
        for service in changed:
            seen[service] = endpoints(table.of(service))
        for service in ("m-backend", "n-backend"):
            expected = endpoints(each for each in model.values() if each.service == service)
            assert seen.get(service, []) == expected
    assert "" not in seen


def test_fallback_is_the_services_own_address() -> None:
    assert fallback("m-backend", "ns") == [Endpoint("service", "m-backend.ns.svc", 80)]
