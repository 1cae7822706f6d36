"""Containers: why one does not run, or exited."""

from __future__ import annotations

import pytest

from tests.operator.observations import (
    ended,
    made,
    trouble,
    with_container,
)


@pytest.mark.parametrize(
    "message",
    ['secret "hf-token" not found', 'configmap "settings" not found', "couldn't find key token in Secret ai/hf-token"],
)
def test_configuration_that_is_missing(message: str) -> None:
    found = trouble(with_container(state={"waiting": {"reason": "CreateContainerConfigError", "message": message}}))
    assert (found.reason, found.stage) == ("CreateContainerConfigError", "broken")
    assert found.message == (
        f"the container of the engine cannot be configured: {message}; create what is missing, or correct the env of the runtime"
    )
    assert found.notice is not None
    assert "hf-token" not in found.notice


def test_a_command_that_does_not_exist() -> None:
    message = (
        "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to "
        'start container process: exec: "vllm": executable file not found in $PATH: unknown'
    )
    first = trouble(with_container(state={"waiting": {"reason": "RunContainerError", "message": message}}))
    then = trouble(
        with_container(state={"waiting": {"reason": "CrashLoopBackOff"}}, lastState=ended(128, message, "StartError"))
    )
    assert first == then
    assert (first.reason, first.stage) == ("RunContainerError", "broken")
    assert (
        'cannot be started: exec: "vllm": executable file not found in $PATH: unknown; check command' in first.message
    )


def test_killed_for_memory() -> None:
    limited = made({"resources": {"memory": "512Mi"}})
    killed = with_container(restartCount=1, state={"running": {}}, lastState=ended(137, "", "OOMKilled"))
    found = trouble(killed, plan=limited)
    assert (found.reason, found.stage) == ("OOMKilled", "starting")
    assert found.message == "the engine was OOM-killed (memory limit 512Mi); raise spec.resources.memory"
    again = with_container(restartCount=2, state={"running": {}}, lastState=ended(137, "", "OOMKilled"))
    found = trouble(again, plan=limited)
    assert (found.reason, found.stage) == ("OOMKilled", "broken")
    assert found.notice == "the engine runs out of memory and is restarted"
    assert "set spec.resources.memory" in trouble(killed).message


def test_the_first_crash_and_the_loop() -> None:
    message = "Traceback (most recent call last):\n  File 'x'\nValueError: no such model: x\n"
    first = trouble(with_container(restartCount=1, state={"running": {}}, lastState=ended(1, message)))
    assert (first.reason, first.stage, first.notice) == ("Restarting", "starting", None)
    assert first.message == (
        "the engine exited (exit code 1): ValueError: no such model: x; it is being restarted; see `kubectl logs -n ai "
        "deployment/tiny -c serving --previous`"
    )
    loop = trouble(with_container(restartCount=5, state={"running": {}}, lastState=ended(1, message)))
    assert (loop.reason, loop.stage) == ("CrashLoopBackOff", "broken")
    assert loop.message.startswith(
        "the engine keeps crashing (exit code 1): ValueError: no such model: x; see `kubectl logs"
    )


def test_an_end_counts_before_the_restart_does() -> None:
    """The kubelet raises the count when it starts the container again."""
    first = trouble(with_container(restartCount=0, state=ended(1, "KeyError: 'a'")))
    second = trouble(with_container(restartCount=1, state=ended(1, "KeyError: 'a'")))
    assert (first.reason, second.reason) == ("Restarting", "CrashLoopBackOff")


def test_every_moment_of_a_crash_loop_says_the_same() -> None:
    looks = [
        {
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": f"back-off {seconds}s"}},
            "lastState": ended(1, "KeyError: 'a'"),
        }
        for seconds in (20, 40, 300)
    ]
    looks += [
        {"state": {"running": {"startedAt": "2026-11-24T00:59:00Z"}}, "lastState": ended(1, "KeyError: 'a'")},
        {"state": ended(1, "KeyError: 'a'"), "lastState": ended(1, "KeyError: 'a'")},
    ]
    found = {trouble(with_container(restartCount=count, **look)) for count in (2, 3, 17) for look in looks}
    assert len(found) == 1


def test_a_crash_after_a_long_life_is_no_loop() -> None:
    found = trouble(
        with_container(restartCount=7, state={"running": {}}, lastState=ended(1, "KeyError: 'a'", ran=3600))
    )
    assert (found.reason, found.stage) == ("Restarting", "starting")


def test_a_known_cause_names_the_remedy() -> None:
    message = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
    found = trouble(with_container(restartCount=3, state={"running": {}}, lastState=ended(1, message)))
    assert (found.reason, found.stage) == ("DeviceMemoryExhausted", "broken")
    assert message in found.message
    assert "lower --max-model-len" in found.message
    assert "OutOfMemoryError" not in (found.notice or "")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (139, "crashing (segmentation fault)"),
        (137, "crashing (SIGKILL)"),
        (134, "crashing (signal 6)"),
        (3, "crashing (exit code 3)"),
        (0, "exiting (exit code 0)"),
    ],
)
def test_how_it_ended(code: int, words: str) -> None:
    found = trouble(with_container(restartCount=4, state={"running": {}}, lastState=ended(code)))
    assert found.message.startswith(f"the engine keeps {words}; its log has the cause: `kubectl logs")


def test_a_start_that_takes_longer_than_its_probe_allows() -> None:
    """600 s here; the kubelet ends it then, and says no word about the probe in the container's state."""
    slow = with_container(restartCount=2, state={"running": {}}, lastState=ended(137, "Loading shard 3 of 9", ran=612))
    found = trouble(slow)
    assert (found.reason, found.stage) == ("StartupTimeout", "broken")
    assert found.message.startswith(
        "the engine did not pass its startup probe within 10m0s and was killed: Loading shard 3 of 9; "
    )
    assert "raise spec.health.startup.failureThreshold of runtime vllm-fake" in found.message
    for other in (
        ended(1, "", ran=612),
        ended(137, "", ran=30),
        ended(137, "", ran=90000),
        ended(137, "", "OOMKilled", ran=612),
    ):
        assert (
            trouble(with_container(restartCount=2, state={"running": {}}, lastState=other)).reason != "StartupTimeout"
        )


def test_times_that_cannot_be_read_do_no_harm() -> None:
    for start, end in (("x", "y"), (None, "2026-11-24T00:40:00Z"), ("2026-11-24T00:40:00", "2026-11-24T00:40:00Z")):
        last = {"terminated": {"exitCode": 1, "startedAt": start, "finishedAt": end}}
        assert (
            trouble(with_container(restartCount=2, state={"running": {}}, lastState=last)).reason == "CrashLoopBackOff"
        )
