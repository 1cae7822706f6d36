"""The node's first process: starts the components, starts them again when they end, answers on a socket.

It is pid 1 of its own namespaces; when it ends, for whatever reason, the kernel ends everything else in them.
Started by node.py as `python -m tools.devcluster.init STATE`.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.devcluster.api import Api
from tools.devcluster.command import SBIN, program
from tools.devcluster.config import AFTER_API, COMPONENTS, Claim
from tools.devcluster.errors import ApiError
from tools.devcluster.mounts import make_private_tree
from tools.devcluster.nodestatus import patch_accelerators
from tools.devcluster.paths import Paths
from tools.devcluster.report import say

TICK = 0.1
"""Seconds between two looks at what is due, while something is due."""

IDLE = 1.0
"""Seconds between two looks when all is well."""

LOG_LIMIT = 64 * 2**20
"""Bytes of a component's log above which it is truncated when the component starts."""

REQUEST_LIMIT = 64 * 1024

ENVIRONMENT = {
    "PATH": f"{SBIN}:/usr/bin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "GOGC": "400",  # memory for CPU: the heaps are small, and collecting them was a fifth of the API server's work
}
"""The components'."""


@dataclass(slots=True)
class Component:
    """One program of the node."""

    name: str
    argv: list[str]
    wanted: bool = False
    pid: int | None = None
    started: float = 0.0
    restarts: int = 0
    failures: int = 0
    due: float = 0.0
    last_exit: str = ""

    def view(self) -> dict[str, Any]:
        """Return what `status` shows."""
        return {
            "wanted": self.wanted,
            "running": self.pid is not None,
            "restarts": self.restarts,
            "last_exit": self.last_exit,
        }


def _exit_text(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"signal {-code}" if code < 0 else f"status {code}"


@dataclass(slots=True)
class Supervisor:
    """The components and the socket; everything but the steward's thread runs in one loop."""

    paths: Paths
    claim: Claim
    components: dict[str, Component]
    began: bool = False
    api_ready: bool = False
    closing: bool = False
    wake: threading.Event = field(default_factory=threading.Event)

    def spawn(self, component: Component) -> None:
        """Start a component with its log as output."""
        log = self.paths.logs / f"{component.name}.log"
        with contextlib.suppress(FileNotFoundError):
            if log.stat().st_size > LOG_LIMIT:
                log.unlink()
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        component.started = time.monotonic()
        try:
            component.pid = os.posix_spawn(
                component.argv[0],
                component.argv,
                ENVIRONMENT,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o600),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                ],
                setsid=True,
                setsigmask=[],
                setsigdef=[signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGPIPE],
            )
        except OSError as error:  # the cache of binaries was emptied: no reason to stop everything else
            self._ended(component, f"{component.argv[0]}: {error.strerror}")

    def reap(self) -> None:
        """Take note of every process that ended; most are orphans of containers."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for component in self.components.values():
                if component.pid == pid:
                    self._ended(component, _exit_text(status))

    def _ended(self, component: Component, how: str) -> None:
        component.pid = None
        component.last_exit = how
        if component.name == "kube-apiserver":
            self.api_ready = False
        if component.wanted:
            lived = time.monotonic() - component.started
            component.failures = 0 if lived > 30 else component.failures + 1
            component.restarts += 1
            component.due = time.monotonic() + min(10.0, 0.2 * 2**component.failures)

    def start_due(self) -> bool:
        """Start what is wanted, not running and due; say whether something still waits."""
        waiting = False
        if not self.began:
            return False
        for component in self.components.values():
            if not component.wanted or component.pid is not None:
                continue
            first = component.started == 0.0
            if (first and component.name in AFTER_API and not self.api_ready) or time.monotonic() < component.due:
                waiting = True
                continue
            self.spawn(component)
            self.wake.set()
        return waiting

    # Requests

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Carry out one request of the socket."""
        match request.get("do"):
            case "status":
                return {
                    "network": self.network(),
                    "began": self.began,
                    "components": {name: item.view() for name, item in self.components.items()},
                }
            case "begin":
                return self.begin()
            case "network":
                return self.configure_network()
            case "reload":
                self.load_commands()
                return {}
            case "accelerators":
                self.wake.set()
                return {}
            case "start" | "stop" as verb:
                component = self.components.get(str(request.get("component")))
                if component is None:
                    return {"error": f"no component {request.get('component')!r}"}
                component.wanted = verb == "start"
                component.due = 0.0
                component.failures = 0
                if verb == "stop" and component.pid is not None:
                    os.kill(component.pid, signal.SIGKILL if request.get("kill") else signal.SIGTERM)
                return {"pid": component.pid}
            case other:
                return {"error": f"no such request: {other!r}"}

    def network(self) -> bool:
        """Whether the link to the machine is there."""
        # Not from /sys, which shows the namespace that mounted it: the machine's.
        return any(name == "eth0" for _, name in socket.if_nameindex())

    def begin(self) -> dict[str, Any]:
        """Configure the network and start everything; a second time does nothing."""
        if self.began:
            return {}
        if fault := self.configure_network():
            return fault
        self.load_commands()
        for component in self.components.values():
            component.wanted = True
        self.began = True
        return {}

    def configure_network(self) -> dict[str, Any]:
        """Give the node's end of the link its address and routes; answers with the error, if any."""
        addresses = self.claim.addresses
        ip = program("ip")
        for command in (
            [ip, "link", "set", "lo", "up"],
            [ip, "addr", "replace", f"{addresses.node}/{addresses.link.prefixlen}", "dev", "eth0"],
            [ip, "link", "set", "eth0", "up"],
            # Nothing beyond this machine can be reached; a connection there fails at once instead of hanging.
            [ip, "route", "replace", "unreachable", "default"],
            # The node's own processes need a route to Services before kube-proxy's rules rewrite the address.
            [ip, "route", "replace", str(addresses.services), "via", str(addresses.host), "dev", "eth0"],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                return {"error": f"{' '.join(command)}: {done.stderr.strip()}"}
        # These belong to the network namespace, not to the machine.
        for name in ("ipv4/ip_forward", "bridge/bridge-nf-call-iptables"):
            with contextlib.suppress(OSError):
                Path("/proc/sys/net", name).write_text("1")
        return {}

    def load_commands(self) -> None:
        """Read the command lines again; they count from the next start on."""
        commands = json.loads((self.paths.config / "components.json").read_text())
        for name, argv in commands.items():
            self.components.setdefault(name, Component(name, argv)).argv = argv

    # The loop

    def serve(self, listener: socket.socket) -> None:
        """Run until SIGTERM."""
        selector = selectors.DefaultSelector()
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._close)
        selector.register(reader, selectors.EVENT_READ)
        selector.register(listener, selectors.EVENT_READ)
        threading.Thread(target=self.steward, daemon=True).start()
        while not self.closing:
            waiting = self.start_due()
            for key, _ in selector.select(TICK if waiting else IDLE):
                if key.fileobj is listener:
                    self.converse(listener)
                else:
                    with contextlib.suppress(BlockingIOError):
                        os.read(reader, 4096)
            self.reap()

    def _close(self, *_: object) -> None:
        self.closing = True

    def converse(self, listener: socket.socket) -> None:
        """Read one request, a line of JSON, and answer with one."""
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(2)
            try:
                data = b""
                while not data.endswith(b"\n") and len(data) < REQUEST_LIMIT:
                    more = connection.recv(4096)
                    if not more:
                        break
                    data += more
                if not data:
                    return  # a client that only tested whether something listens
                reply = self.answer(json.loads(data))
                connection.sendall(json.dumps(reply).encode() + b"\n")
            except (OSError, ValueError) as error:
                say(f"control: {error}")

    def steward(self) -> None:
        """Watch for the API server at the start; keep the accelerators in the node's status, whatever resets it.

        The kubelet zeroes extended resources when it registers again, and a new Node object has none.
        """
        api = Api(str(self.claim.addresses.node), self.paths.pki, timeout=2)
        while True:
            settled = False
            if self.components["kube-apiserver"].pid is not None:
                if not self.api_ready:
                    self.api_ready = api.ready()
                if self.api_ready:
                    try:
                        settled = not patch_accelerators(api, self.claim.node, self.paths.accelerators)
                    except ApiError as error:
                        say(f"accelerators: {error}")
            self.wake.wait(5.0 if settled else 0.2)
            self.wake.clear()


def main(state: str) -> None:
    """Run the node of the state folder `state`."""
    paths = Paths(Path(state).name, Path(state))
    claim = Claim.from_json(paths.claim.read_text())
    socket.sethostname(claim.node)
    binaries = {Path(path).parent for path in claim.binaries.values()}
    paths.socket.unlink(missing_ok=True)
    os.chdir(paths.root)
    make_private_tree(paths.root, binaries)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    os.chdir(paths.root)
    # Relative: the path of a socket is limited to 107 bytes.
    listener.bind(paths.socket.name)
    listener.listen(16)
    components = {name: Component(name, []) for name in COMPONENTS}
    Supervisor(paths, claim, components).serve(listener)


if __name__ == "__main__":
    main(sys.argv[1])
