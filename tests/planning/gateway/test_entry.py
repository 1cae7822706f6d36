"""The entry of a service: one that the gateway takes, and that says what the service says."""

from __future__ import annotations

from hearth_gateway import parse_services
from tests.planning.plans import plan


def test_a_plain_service() -> None:
    made = plan(target="local")
    assert made.gateway == {
        "name": "tiny",
        "namespace": "ai",
        "coldStart": {"mode": "keepalive", "heartbeatIntervalSeconds": 10.0},
        "activationTimeoutSeconds": 300.0,
        "limits": {"maxHeld": 100, "maxHeldBytes": 2**26, "maxInFlight": 1024, "maxRequestBytes": 2**25},
        "probe": {"path": "/health"},
    }
    [config] = parse_services({"services": [made.gateway]})
    assert config.name == "tiny"


def test_everything_that_a_service_can_say() -> None:
    made = plan(
        {
            "scaling": {"activationTimeout": "90s"},
            "endpoint": {
                "aliases": ["small"],
                "coldStart": {"mode": "reject", "heartbeatInterval": "500ms"},
                "limits": {"maxHeld": 7},
            },
        },
        {"health": {"readiness": {"httpGet": {"path": "/ready", "port": "http"}}}},
    )
    assert made.gateway["aliases"] == ["small"]
    assert made.gateway["coldStart"] == {"mode": "reject", "heartbeatIntervalSeconds": 0.5}
    assert made.gateway["activationTimeoutSeconds"] == 90
    assert made.gateway["limits"]["maxHeld"] == 7
    assert made.gateway["probe"] == {"path": "/ready"}
    assert len(parse_services({"services": [made.gateway]})) == 1


def test_a_readiness_probe_that_is_not_http_leaves_the_gateways_own() -> None:
    made = plan(runtime_spec={"health": {"readiness": {"tcpSocket": {"port": "http"}}}})
    assert "probe" not in made.gateway
