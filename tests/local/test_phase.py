"""Phase of a service, and its reason."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hearth.local.phase import ReplicaState, phase_of

STARTING = "starting for 0s, the startup probe has not succeeded yet; `hearth logs` has the engine's output"


def replica(name: str = "0", **changes: object) -> ReplicaState:
    base = ReplicaState(name, ready=False, leaving=False, running=True, crash_loop=False)
    return replace(base, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wanted", "replicas", "reasons", "expected"),
    [
        (0, [], {}, ("ScaledToZero", "")),
        (0, [replica(leaving=True, ready=True)], {}, ("ScaledToZero", "1 replica is stopping")),
        (1, [], {}, ("Pending", "starting")),
        (1, [], {"waiting": "needs 1"}, ("Pending", "needs 1")),
        (1, [], {"impossible": "needs 9"}, ("Degraded", "needs 9")),
        (1, [replica()], {}, ("Loading", STARTING)),
        (1, [replica(running_for=41.7)], {}, ("Loading", STARTING.replace("0s", "42s"))),
        (1, [replica(cause="exited with code 1")], {}, ("Loading", "replica 0 exited with code 1")),
        (1, [replica(ready=True)], {}, ("Ready", "")),
        (2, [replica(ready=True)], {"waiting": "needs 1"}, ("Ready", "needs 1")),
        (
            1,
            [replica(crash_loop=True, cause="exited with code 1", retry_in=3.2)],
            {},
            ("Degraded", "replica 0 exited with code 1; restarting in 3s"),
        ),
        (
            2,
            [replica(ready=True), replica("1", crash_loop=True, cause="exited with code 1")],
            {},
            ("Ready", "replica 1 exited with code 1"),
        ),
        (1, [replica(leaving=True, ready=True), replica("1")], {}, ("Loading", STARTING)),
    ],
)
def test_phase_and_reason(
    wanted: int, replicas: list[ReplicaState], reasons: dict[str, str], expected: tuple[str, str]
) -> None:
    assert phase_of(wanted, replicas, **reasons) == expected
