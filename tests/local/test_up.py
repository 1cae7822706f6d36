"""`hearth up` end to end: cold and warm, every way in which it or a backend can end, and changes while it runs."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from hearth.api.errors import HearthError
from hearth.local.remote import call
from hearth.local.state import StateDir
from tests.local.instance import HEARTH, Start, Up, ask, service, stream, write
from tests.support import manifests

pytestmark = pytest.mark.timeout(90)


def is_complete(lines: list[str]) -> bool:
    return lines[-1] == "data: [DONE]" and not any('"error"' in line for line in lines)


def abrupt(name: str) -> dict[str, Any]:
    """Return a service whose engine aborts its requests on SIGTERM, as vLLM does by default."""
    document = service(name)
    document["spec"]["runtime"]["argsOverride"] = ["--shutdown-timeout=0"]
    return document


# --- the normal life ------------------------------------------------------------------------------------------------


async def test_starts_nothing_wakes_answers_and_sleeps(up: Start, http: aiohttp.ClientSession, tmp_path: Path) -> None:
    running: Up = await up(write(tmp_path / "a.yaml", service("qwen")))
    assert running.backends() == []
    assert (await running.view("qwen"))["phase"] == "ScaledToZero"
    status, answer = await ask(http, running, "qwen")
    assert (status, answer["model"]) == (200, "qwen")
    await running.said(r"qwen: waking \(1 request held\)")
    await running.said(r"qwen: replica 0 ready in \d+(\.\d)?m?s")
    assert len(running.backends()) == 1
    await running.said("qwen: scaling to zero: no demand for 1s")
    await running.said("qwen: scaled to zero")
    assert running.backends() == []
    assert (await ask(http, running, "qwen"))[0] == 200
    assert await running.interrupt() == 0
    assert list((running.state / "processes").iterdir()) == []
    assert not (running.state / "control.sock").exists()


async def test_min_starts_at_once_and_stays(up: Start, tmp_path: Path) -> None:
    running: Up = await up(write(tmp_path / "a.yaml", service("qwen", min=1)))
    await running.said("qwen: starting: spec.scaling.min is 1")
    view = await running.phase("qwen", "Ready")
    assert (view["ready"], view["wanted"]) == (1, 1)
    assert await running.interrupt(signal.SIGTERM) == 0


async def test_grows_under_load_and_every_request_is_answered(
    up: Start, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    running: Up = await up(write(tmp_path / "a.yaml", service("qwen", max=2, target=2)), STUB_TOKEN_DELAY="100ms")
    answers = await asyncio.gather(*(ask(http, running, "qwen", max_tokens=30) for _ in range(6)))
    assert [status for status, _ in answers] == [200] * 6
    await running.said("qwen: scaling 1 -> 2: demand is 6, the target is 2 per replica")
    await running.said("qwen: scaled to zero")


# --- Ctrl-C ---------------------------------------------------------------------------------------------------------


async def test_ctrl_c_at_once(up: Start, tmp_path: Path) -> None:
    running: Up = await up(write(tmp_path / "a.yaml", service("qwen", min=1)))
    assert await running.interrupt() == 0
    assert running.backends() == []


async def test_ctrl_c_during_a_wake_answers_the_held_request(
    up: Start, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    running: Up = await up(write(tmp_path / "a.yaml", service("qwen")), STUB_STARTUP_DELAY="30s")
    held = asyncio.create_task(ask(http, running, "qwen"))
    await running.said("qwen: waking")
    assert await running.interrupt() == 0
    status, answer = await held
    assert status == 503
    assert "shutting down" in answer["error"]["message"]
    assert running.backends() == []


async def test_ctrl_c_lets_a_stream_end(up: Start, http: aiohttp.ClientSession, tmp_path: Path) -> None:
    running: Up = await up(write(tmp_path / "a.yaml", abrupt("qwen")), STUB_TOKEN_DELAY="50ms")
    streaming = asyncio.create_task(stream(http, running, "qwen", 40))
    await running.said("replica 0 ready")
    assert await running.interrupt() == 0
    assert is_complete(await streaming)
    await running.said("Stopping: waiting for 1 in-flight request ")


async def test_ctrl_c_says_what_it_waits_for(up: Start, tmp_path: Path) -> None:
    running: Up = await up(write(tmp_path / "a.yaml", service("qwen", min=1)))
    await running.said("replica 0 ready")
    assert await running.interrupt() == 0
    await running.said(r"Stopping: waiting for 1 process to exit \(press Ctrl-C again to kill\)$")


async def test_a_second_ctrl_c_ends_at_once(up: Start, http: aiohttp.ClientSession, tmp_path: Path) -> None:
    running: Up = await up(write(tmp_path / "a.yaml", service("qwen")), STUB_TOKEN_DELAY="1s")
    streaming = asyncio.create_task(stream(http, running, "qwen", 60))
    await running.said("replica 0 ready")
    running.process.send_signal(signal.SIGINT)
    await running.said("waiting for 1 in-flight request")
    view = await running.view("qwen")
    assert (view["phase"], view["reason"]) == ("ScaledToZero", "1 replica is stopping")
    async with asyncio.timeout(5):
        assert await running.interrupt() == 0
    with pytest.raises(aiohttp.ClientError):  # noqa: PT012 - a cut stream: an error event, or a broken connection
        assert is_complete(await streaming) is False
        raise aiohttp.ClientError
    assert running.backends() == []


# --- kill -9 --------------------------------------------------------------------------------------------------------


async def test_the_next_start_ends_what_a_killed_one_left(up: Start, tmp_path: Path) -> None:
    manifest = write(tmp_path / "a.yaml", service("qwen", min=1))
    first: Up = await up(manifest)
    await first.said("replica 0 ready")
    first.process.kill()
    await first.ended()
    orphans = first.backends()
    assert len(orphans) == 1
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    try:
        second: Up = await up(manifest)
        await second.said(f"qwen: stopping process {orphans[0].pid}, left over from an earlier `hearth up`")
        await second.said("replica 0 ready")
        assert stranger.poll() is None
        backends = second.backends()
        assert len(backends) == 1
        assert backends != orphans
        assert await second.interrupt() == 0
    finally:
        stranger.kill()
        stranger.wait()


async def test_a_backend_killed_while_idle_is_replaced(up: Start, http: aiohttp.ClientSession, tmp_path: Path) -> None:
    running: Up = await up(write(tmp_path / "a.yaml", service("qwen", min=1)))
    await running.said("replica 0 ready")
    running.backends()[0].kill()
    await running.said("replica 0 was killed by SIGKILL.*; restarting$")
    assert (await ask(http, running, "qwen"))[0] == 200
    await running.said("replica 0 ready", times=2)


async def test_a_backend_killed_mid_stream_is_no_clean_end(
    up: Start, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    running: Up = await up(write(tmp_path / "a.yaml", service("qwen")), STUB_TOKEN_DELAY="100ms")
    streaming = asyncio.create_task(stream(http, running, "qwen", 100))
    await running.said("replica 0 ready")
    async with asyncio.timeout(20):
        while not (await running.view("qwen"))["in_flight"]:
            await asyncio.sleep(0.05)
    running.backends()[0].kill()
    lines = await streaming
    assert not is_complete(lines)
    assert any('"error"' in line for line in lines)
    assert (await ask(http, running, "qwen"))[0] == 200


# --- devices --------------------------------------------------------------------------------------------------------


async def test_two_services_share_one_device(up: Start, http: aiohttp.ClientSession, tmp_path: Path) -> None:
    first, second = service("first", scaleDownStabilization="2s"), service("second")
    running: Up = await up(write(tmp_path / "a.yaml", first, second), HEARTH_FAKE_DEVICES="1", STUB_TOKEN_DELAY="100ms")
    busy = asyncio.create_task(stream(http, running, "first", 10))
    await running.said("first: replica 0 ready")
    waiting = asyncio.create_task(ask(http, running, "second"))
    await running.said("second: waiting: needs 1 accelerator of vendor fake; 1 of 1 is in use by first")
    view = await running.view("second")
    assert view["phase"] == "Pending"
    assert "in use by first" in view["reason"]
    async with http.get(f"{running.url}/hearth/queue") as answer:
        assert "in use by first" in await answer.text()
    assert is_complete(await busy)
    assert (await waiting)[0] == 200
    ready = await running.said("second: replica 0 ready")
    assert running.lines.index(await running.said("first: scaled to zero")) < running.lines.index(ready)


async def test_a_need_beyond_the_machine_is_degraded(up: Start, http: aiohttp.ClientSession, tmp_path: Path) -> None:
    huge = service("huge", activationTimeout="1s")
    huge["spec"]["resources"] = {"accelerators": 3}
    running: Up = await up(write(tmp_path / "a.yaml", huge, service("small")))
    status, answer = await ask(http, running, "huge")
    assert status == 503
    assert "needs 3 accelerators of vendor fake; this machine has 2" in answer["error"]["message"]
    assert (await ask(http, running, "small"))[0] == 200


# --- what goes wrong ------------------------------------------------------------------------------------------------


def broken_runtime(name: str, *command: str) -> manifests.Manifest:
    return manifests.runtime(name, vendor="cpu", adapter="generic", local={"command": list(command)})


async def test_a_command_that_does_not_exist_is_degraded_and_hurts_nobody(
    up: Start, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    absent = service("absent", min=1)
    absent["spec"]["runtime"] = {"name": "nowhere"}
    crashing = service("crashing", min=1)
    crashing["spec"]["runtime"] = {"name": "crashes"}
    code = "import sys; sys.exit('no such weights: sk-secret-in-log')"
    manifest = write(
        tmp_path / "a.yaml",
        absent,
        crashing,
        service("qwen"),
        broken_runtime("nowhere", "vllm-of-nobody", "--api-key=sk-secret"),
        broken_runtime("crashes", sys.executable, "-c", code),
    )
    running: Up = await up(manifest)
    view = await running.phase("absent", "Degraded")
    assert "failed to start: the command vllm-of-nobody was not found on PATH; install it" in view["reason"]
    view = await running.phase("crashing", "Degraded")
    assert "exited with code 1: no such weights" in view["reason"]
    assert view["replicas"][0]["state"] == "CrashLoop"
    assert (await ask(http, running, "qwen"))[0] == 200
    code_, _, err = await running.cli("wake", "absent", "--wait")
    assert code_ == 1
    assert "absent is Degraded" in err
    async with http.get(f"{running.url}/hearth/queue") as answer:
        assert "sk-secret" not in await answer.text(), "the engine's words are for the owner only"
    assert not any("--api-key" in line for line in running.lines)


async def test_an_occupied_port_is_said_before_anything_starts(up: Start, tmp_path: Path) -> None:
    manifest = write(tmp_path / "a.yaml", service("qwen", min=1))
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        running: Up = await up(manifest, listening=False, options=["--listen", f"127.0.0.1:{port}"])
        assert await running.ended() == 1
    assert f"error: cannot listen on 127.0.0.1:{port}: Address already in use; stop what uses the port" in "".join(
        running.lines
    )
    assert not running.state.joinpath("logs", "qwen").exists()


@pytest.mark.parametrize(
    ("listen", "words"),
    [
        ("192.0.2.1:0", "it is not an address of this machine; give one that is"),
        ("no-such-host.invalid:0", "there is no such host; give an address of this machine"),
    ],
)
async def test_an_address_that_is_not_ours(listen: str, words: str, up: Start, tmp_path: Path) -> None:
    manifest = write(tmp_path / "a.yaml", service("qwen"))
    running: Up = await up(manifest, listening=False, options=["--listen", listen])
    assert await running.ended() == 1
    assert f"error: cannot listen on {listen}: {words}" in "".join(running.lines)


async def test_a_second_one_on_the_same_state_directory_is_refused(up: Start, tmp_path: Path) -> None:
    manifest = write(tmp_path / "a.yaml", service("qwen"))
    first: Up = await up(manifest)
    second: Up = await up(manifest, listening=False)
    assert await second.ended() == 1
    assert f"process {first.process.pid}, listening on 127.0.0.1:{first.port}" in "".join(second.lines)
    assert (await first.view("qwen"))["phase"] == "ScaledToZero"


async def test_a_state_directory_that_cannot_be_written(up: Start, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    manifest = write(tmp_path / "a.yaml", service("qwen"))
    running: Up = await up(manifest, listening=False, options=["--state-dir", str(tmp_path / "file" / "x")])
    assert await running.ended() == 1
    assert "error: cannot write to the state directory" in "".join(running.lines)


async def test_unusable_manifests_are_refused_with_every_error(up: Start, tmp_path: Path) -> None:
    unknown = service("a")
    unknown["spec"]["runtime"] = {"selector": {"vendor": ["nosuch"]}}
    scheme = service("b")
    scheme["spec"]["model"]["source"]["uri"] = "ftp://x"
    running: Up = await up(write(tmp_path / "a.yaml", unknown, scheme), listening=False)
    assert await running.ended() == 2
    text = "\n".join(running.lines)
    assert "nosuch" in text
    assert "ftp://x" in text


async def test_one_service_that_cannot_be_planned_does_not_stop_the_others(
    up: Start, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    unknown = service("a")
    unknown["spec"]["runtime"] = {"selector": {"vendor": ["nosuch"]}}
    running: Up = await up(write(tmp_path / "a.yaml", unknown, service("b")))
    view = await running.view("a")
    assert view["phase"] == "Degraded"
    assert "nosuch" in view["reason"]
    assert (await ask(http, running, "b"))[0] == 200


# --- changes --------------------------------------------------------------------------------------------------------


async def test_garbage_keeps_the_old_state_and_a_repair_is_taken(
    up: Start, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    manifest = write(tmp_path / "a.yaml", service("qwen"))
    running: Up = await up(manifest)
    manifest.write_text("kind: [")
    await running.said("The changed manifests are invalid; keeping the running configuration")
    assert any("error:" in line and "a.yaml" in line for line in running.lines)
    assert (await ask(http, running, "qwen"))[0] == 200
    write(manifest, service("qwen"), service("other"))
    await running.said(r"The manifests changed; applying them$")
    assert (await ask(http, running, "other"))[0] == 200
    write(manifest, service("other"))
    await running.said("qwen: removed from the manifests")
    assert (await ask(http, running, "qwen"))[0] == 404
    assert (await ask(http, running, "other"))[0] == 200


async def test_a_warning_is_said_once(up: Start, tmp_path: Path) -> None:
    warned = service("qwen")
    warned["spec"]["cache"] = {"prewarm": True}
    manifest = write(tmp_path / "a.yaml", warned)
    running: Up = await up(manifest)
    write(manifest, warned, service("other"))
    await running.said(r"The manifests changed; applying them$")
    assert (await running.view("other"))["phase"] == "ScaledToZero"
    assert len([line for line in running.lines if "qwen: warning:" in line]) == 1


async def test_a_change_rolls_without_losing_a_request(up: Start, http: aiohttp.ClientSession, tmp_path: Path) -> None:
    manifest = write(tmp_path / "a.yaml", service("qwen", min=1))
    running: Up = await up(manifest)
    await running.said("replica 0 ready")
    before = running.backends()[0].pid
    changed = service("qwen", min=1)
    changed["spec"]["runtime"]["argsOverride"] = ["--max-model-len=4096"]
    stop = asyncio.Event()

    async def keep_asking() -> list[tuple[int, bool]]:
        answers = []
        body = {"model": "qwen", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}
        while not stop.is_set():
            async with http.post(f"{running.url}/v1/chat/completions", json=body) as answer:
                await answer.read()
                answers.append((answer.status, "X-Hearth-Cold-Start" in answer.headers))
        return answers

    askers = [asyncio.create_task(keep_asking()) for _ in range(4)]
    write(manifest, changed)
    await running.said("qwen: changed; replacing its replicas")
    async with asyncio.timeout(20):
        while before in (pids := [process.pid for process in running.backends()]) or len(pids) != 1:
            await asyncio.sleep(0.05)
    stop.set()
    answers = [answer for answers in await asyncio.gather(*askers) for answer in answers]
    assert set(answers) == {(200, False)}, "the old replica serves until the new one can"
    assert len(answers) > 20


async def test_removing_a_service_lets_its_stream_end(up: Start, http: aiohttp.ClientSession, tmp_path: Path) -> None:
    manifest = write(tmp_path / "a.yaml", abrupt("qwen"), service("other"))
    running: Up = await up(manifest, STUB_TOKEN_DELAY="50ms")
    streaming = asyncio.create_task(stream(http, running, "qwen", 60))
    await running.said("qwen: replica 0 ready")
    write(manifest, service("other"))
    await running.said("qwen: removed from the manifests")
    assert is_complete(await streaming)
    async with asyncio.timeout(10):
        while running.backends():
            await asyncio.sleep(0.05)


async def test_scaling_settings_change_without_a_restart(
    up: Start, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    manifest = write(tmp_path / "a.yaml", service("qwen", min=1))
    running: Up = await up(manifest)
    await running.said("replica 0 ready")
    before = [process.pid for process in running.backends()]
    write(manifest, service("qwen", min=2, max=2))
    await running.said("qwen: scaling 1 -> 2: spec.scaling.min is 2")
    assert before[0] in [process.pid for process in running.backends()]


# --- the other commands ---------------------------------------------------------------------------------------------


async def test_wake_scale_and_logs(up: Start, tmp_path: Path) -> None:
    running: Up = await up(write(tmp_path / "a.yaml", service("qwen", max=2, scaleDownStabilization="20s")))
    assert (await running.cli("wake", "qwen", "--wait"))[:2] == (0, "qwen is ready\n")
    asked = asyncio.to_thread(
        call, StateDir(running.state), {"do": "scale", "name": "qwen", "replicas": 2, "seconds": 60}
    )
    assert await asked == "keeps at least 2 replicas for 1m0s"
    await running.said("qwen: scaling 1 -> 2: `hearth scale` asks for 2")
    await running.said("replica 1 ready")
    _, out, _ = await running.cli("logs", "qwen", "--tail", "1")
    assert [line[:4] for line in out.splitlines()] == ["0 | ", "1 | "]
    for replicas, problem in [
        (3, "3 replicas exceed spec\\.scaling\\.max \\(2\\)"),
        (-1, "below spec\\.scaling\\.min \\(0\\)"),
    ]:
        with pytest.raises(HearthError, match=problem):
            call(StateDir(running.state), {"do": "scale", "name": "qwen", "replicas": replicas})
    with pytest.raises(HearthError, match="there is no service 'nobody'; known services: qwen"):
        call(StateDir(running.state), {"do": "wake", "name": "nobody"})
    code, out, _ = await running.cli("scale", "qwen", "--replicas", "0")
    assert (code, out) == (0, "qwen will scale to zero once idle\n")
    await running.said("qwen: scaling to zero: `hearth scale`")
    await running.said("qwen: scaled to zero")
    assert await running.interrupt() == 0
    code, _, err = await running.cli("get")
    assert code == 1
    assert "error: no `hearth up` is running on the state directory" in err
    assert (await running.cli("logs", "qwen", "--replica", "0"))[0] == 0, "logs outlive `hearth up`"


async def test_logs_follow(up: Start, tmp_path: Path) -> None:
    running: Up = await up(write(tmp_path / "a.yaml", service("qwen", min=1)))
    await running.said("replica 0 ready")
    follower = await asyncio.create_subprocess_exec(
        *HEARTH, "logs", "qwen", "-f", env=running.environment, stdout=subprocess.PIPE
    )
    assert follower.stdout is not None
    try:
        async with asyncio.timeout(20):
            assert b"hearth: replica 0 on port" in await follower.stdout.readline()
            running.backends()[0].kill()
            while b"hearth: replica 0 on port" not in await follower.stdout.readline():
                pass
    finally:
        follower.send_signal(signal.SIGINT)
        assert await follower.wait() == 0


async def test_the_control_socket_refuses_what_it_does_not_know(up: Start, tmp_path: Path) -> None:
    running: Up = await up(write(tmp_path / "a.yaml", service("qwen")))
    path = running.state / "control.sock"
    assert path.stat().st_mode & 0o777 == 0o600
    for request in (b"nonsense\n", b'{"do": "explode"}\n', b"[]\n", b'{"do": "scale", "name": "qwen"}\n', b""):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(request)
        writer.write_eof()
        answer = json.loads(await reader.readline())
        assert answer["error"]
        assert answer["remedy"]
        writer.close()
        await writer.wait_closed()
    assert (await running.view("qwen"))["phase"] == "ScaledToZero"
