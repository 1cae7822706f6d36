"""The Go programs: built once into a cache keyed by what they are made of."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tools.devcluster.command import program, run
from tools.devcluster.errors import BuildError, MachineError
from tools.devcluster.keda import shipped_manifests
from tools.devcluster.lock import held
from tools.devcluster.paths import GO_MODULES, cache_root
from tools.devcluster.report import say
from tools.devcluster.versions import COREDNS, GO, HELM, KEDA, KUBERNETES, PAUSE

DISK = 10 * 2**30
"""Bytes of modules, build cache and binaries of a build from nothing, rounded up."""


def _kubernetes_stamps() -> dict[str, str]:
    major, minor, _ = KUBERNETES.split(".")
    # Unstamped, the version checks of KEDA and Helm fail.
    values = {
        "gitVersion": f"v{KUBERNETES}",
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
        "gitCommit": "unknown",
    }
    return {
        f"{package}.{name}": value
        for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
        for name, value in values.items()
    }


def _helm_stamps() -> dict[str, str]:
    major, minor, _ = KUBERNETES.split(".")
    packages = ("helm.sh/helm/v3/pkg/lint/rules", "helm.sh/helm/v3/pkg/chartutil")
    return {
        "helm.sh/helm/v3/internal/version.version": f"v{HELM}",
        "helm.sh/helm/v3/internal/version.gitTreeState": "clean",
        **{f"{package}.k8sVersionMajor": major for package in packages},
        **{f"{package}.k8sVersionMinor": minor for package in packages},
    }


@dataclass(frozen=True, slots=True)
class GoComponent:
    """One go.mod and the programs made from it."""

    name: str
    version: str
    programs: Mapping[str, str]
    stamps: Mapping[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where its go.mod lies."""
        return GO_MODULES / self.name

    def flags(self) -> list[str]:
        """Return the flags of `go build`."""
        stamps = "".join(f" -X {name}={value}" for name, value in sorted(self.stamps.items()))
        return ["-trimpath", "-buildvcs=false", "-ldflags", f"-s -w{stamps}"]


COMPONENTS = (
    GoComponent("pause", PAUSE, {"pause": "github.com/hearth-project/hearth/devcluster/go/pause"}),
    GoComponent(
        "kubernetes",
        KUBERNETES,
        {
            name: f"k8s.io/kubernetes/cmd/{name}"
            for name in (
                *("kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubectl", "kubelet"),
            )
        },
        _kubernetes_stamps(),
    ),
    GoComponent("coredns", COREDNS, {"coredns": "github.com/coredns/coredns"}),
    GoComponent("helm", HELM, {"helm": "helm.sh/helm/v3/cmd/helm"}, _helm_stamps()),
    GoComponent(
        "keda",
        KEDA,
        {
            "keda": "github.com/kedacore/keda/v2/cmd/operator",
            "keda-adapter": "github.com/kedacore/keda/v2/cmd/adapter",
            "keda-admission-webhooks": "github.com/kedacore/keda/v2/cmd/webhooks",
        },
        {"github.com/kedacore/keda/v2/version.Version": KEDA},
    ),
)


def _sources(component: GoComponent) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(component.folder.iterdir()) if path.is_file()}


def cache_key(component: GoComponent, sources: Mapping[str, bytes]) -> str:
    """Twelve hex digits that change with anything that the programs are made of, except Go itself."""
    digest = hashlib.sha256()
    meta = [component.name, component.version, dict(component.programs), component.flags(), platform.machine()]
    digest.update(json.dumps(meta, sort_keys=True).encode())
    for name, content in sorted(sources.items()):
        digest.update(f"\0{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:12]


def binary_folder(component: GoComponent) -> Path:
    """Where the programs of a component lie once they are built."""
    return cache_root() / f"{component.name}-{component.version}-{cache_key(component, _sources(component))}"


def binaries() -> dict[str, Path]:
    """Return the path of every program, built or not."""
    return {name: folder / name for item in COMPONENTS for folder in [binary_folder(item)] for name in item.programs}


def unbuilt(components: Sequence[GoComponent] = COMPONENTS) -> list[GoComponent]:
    """Return the components that are not in the cache."""
    return [component for component in components if not binary_folder(component).is_dir()]


def go_program() -> str:
    """Return the path of `go`.

    Raises MachineError when it is missing or too old.
    """
    remedy = f"install Go {GO[0]}.{GO[1]} or later from https://go.dev/dl/"
    try:
        go = program("go")
    except MachineError:
        go = "/usr/local/go/bin/go"
        if not Path(go).exists():
            raise MachineError(f"Go is not installed; {remedy}") from None
    # In the folder of a go.mod, Go 1.21 and later switch to the toolchain that it names, where they may.
    done = subprocess.run(
        [go, "version"], capture_output=True, text=True, cwd=GO_MODULES / "keda", check=False, stdin=subprocess.DEVNULL
    )
    found = re.search(r"go(\d+)\.(\d+)", done.stdout)
    if done.returncode or found is None or (int(found[1]), int(found[2])) < GO:
        said = (done.stdout + done.stderr).strip()
        raise MachineError(f"{go} does not do: {said[:200]}; {remedy}, or let it switch with GOTOOLCHAIN=auto")
    return go


def _follow(process: subprocess.Popen[bytes], title: str) -> list[str]:
    """Show progress while a build runs; return the lines that are not names of packages."""
    lines: list[str] = []
    packages = 0
    started = time.monotonic()
    assert process.stderr is not None
    terminal = sys.stderr.isatty()
    done = threading.Event()

    def show() -> None:
        while not done.wait(1 if terminal else 15):
            text = f"  {time.monotonic() - started:6.0f} s  {title}: {packages} packages compiled"
            if terminal:
                sys.stderr.write(f"\r{text}")
                sys.stderr.flush()
            else:
                say(text)

    shower = threading.Thread(target=show, daemon=True)
    shower.start()
    try:
        for raw in process.stderr:
            line = raw.decode(errors="replace").rstrip()
            if re.fullmatch(r"[A-Za-z0-9._~/-]+", line):
                packages += 1
            else:
                lines.append(line)
    finally:
        done.set()
        shower.join()
        if terminal:
            sys.stderr.write("\r\033[K")
    return lines


def _build(go: str, component: GoComponent) -> None:
    target = binary_folder(component)
    work = Path(tempfile.mkdtemp(prefix=f".{component.name}-", suffix=".tmp", dir=cache_root()))
    started = time.monotonic()
    try:
        paths = list(component.programs.values())
        # setpriv: a killed `up` leaves no compiler behind.
        argv = [program("setpriv"), "--pdeathsig", "TERM", go, "build", "-v", *component.flags()]
        with subprocess.Popen(
            [*argv, "-o", f"{work}/", *paths],
            cwd=component.folder,
            env={**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "-mod=readonly"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        ) as process:
            try:
                lines = _follow(process, f"building {component.name} {component.version}")
            except BaseException:
                process.send_signal(signal.SIGTERM)
                raise
        status = process.returncode
        if status:
            text = "\n".join(lines[-15:])
            space = "; the disk is full" if "no space left" in text else ""
            raise BuildError(f"building {component.name} {component.version} failed{space}:\n{text}")
        for name, path in component.programs.items():
            made = work / path.rsplit("/", 1)[-1]
            if made.name != name:
                made.rename(work / name)
        if component.name == "keda":
            module = run(
                [go, "-C", str(component.folder), "list", "-m", "-f", "{{.Dir}}", "github.com/kedacore/keda/v2"],
                error=BuildError,
            )
            (work / "keda.yaml").write_bytes(shipped_manifests(binaries()["kubectl"], Path(module.decode().strip())))
        work.chmod(0o755)
        work.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    say(f"  {time.monotonic() - started:6.1f} s  built {component.name} {component.version}")


def _check_disk() -> None:
    for name, default in (("GOCACHE", Path.home() / ".cache"), ("", cache_root())):
        folder = Path(os.environ.get(name) or default)
        while not folder.exists():
            folder = folder.parent
        free = shutil.disk_usage(folder).free
        if free < DISK:
            raise MachineError(
                f"{folder}: {free / 2**30:.1f} GiB free, a build from nothing takes up to {DISK >> 30} GiB; make room, "
                "or set XDG_CACHE_HOME, GOCACHE and GOMODCACHE to a larger disk"
            )


def build_all(components: Sequence[GoComponent] = COMPONENTS) -> dict[str, Path]:
    """Build what is not in the cache; return the path of every program.

    Raises MachineError when there is no Go, or no room; BuildError when a build failed.
    """
    if unbuilt(components):
        cache_root().mkdir(parents=True, exist_ok=True)
        with held(cache_root() / "build.lock", None):
            todo = unbuilt(components)
            if todo:
                go = go_program()
                _check_disk()
                names = ", ".join(f"{item.name} {item.version}" for item in todo)
                say(f"building {names} (once; all of them take about 12 minutes from nothing on 2 cores)")
                for leftover in cache_root().glob(".*.tmp"):
                    with contextlib.suppress(OSError):
                        shutil.rmtree(leftover)
                for component in todo:
                    _build(go, component)
    return {name: binary_folder(item) / name for item in components for name in item.programs}
