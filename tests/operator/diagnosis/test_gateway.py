"""The gateway: starting, broken, and one of two."""

from __future__ import annotations

from tests.operator.observations import (
    deployment,
    gateway,
    observation,
    ready_pod,
    seen,
    with_container,
)


def test_no_gateway_yet() -> None:
    phase, found = seen(observation(gateway=None, gateway_pods=()))
    assert (phase, found["Ready"]["reason"]) == ("Pending", "GatewayStarting")
    starting = with_container("gateway-1", state={"running": {"startedAt": "2026-11-24T00:59:00Z"}})
    phase, found = seen(observation(gateway=gateway(readyReplicas=0, availableReplicas=0), gateway_pods=[starting]))
    assert (phase, found["Ready"]["reason"]) == ("Pending", "GatewayStarting")


def test_a_gateway_that_is_down_is_worse_than_a_replica_that_answers() -> None:
    broken = with_container(
        "gateway-1", state={"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "gw:1"'}}
    )
    observed = observation(
        gateway=gateway(readyReplicas=0, availableReplicas=0),
        gateway_pods=[broken],
        deployment=deployment(1),
        pods=[ready_pod()],
    )
    phase, found = seen(observed)
    assert (phase, found["Ready"]["status"], found["Ready"]["reason"]) == ("Degraded", "False", "GatewayUnavailable")
    assert "the image engine:1 of the gateway cannot be pulled" in found["Ready"]["message"]
    assert found["Scaled"]["status"] == "True"


def test_a_gateway_is_there_when_either_its_pod_or_its_deployment_says_so() -> None:
    """Watches of two kinds have no order."""
    stale = with_container("gateway-1", state={"running": {"startedAt": "2026-11-24T00:59:00Z"}})
    assert seen(observation(gateway_pods=[stale]))[0] == "ScaledToZero"
    assert seen(observation(gateway=gateway(availableReplicas=0, readyReplicas=0)))[0] == "ScaledToZero"


def test_one_gateway_of_two_is_enough() -> None:
    starting = with_container("gateway-2", state={"waiting": {"reason": "ContainerCreating"}})
    assert seen(observation(gateway_pods=[ready_pod("gateway-1"), starting]))[0] == "ScaledToZero"
