"""Bring-up of a cluster, from any state that an earlier run left."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from tools.devcluster import apt, cgroups, control, dns, keda, node, storage
from tools.devcluster.api import condition
from tools.devcluster.build import binaries, build_all, go_program, unbuilt
from tools.devcluster.command import run
from tools.devcluster.config import CGROUPS, COMPONENTS, PAUSE_IMAGE, Claim, Options
from tools.devcluster.errors import ApiError, DevclusterError, NodeError
from tools.devcluster.images import Image, load_image, present
from tools.devcluster.lock import held
from tools.devcluster.mounts import CLAIMS
from tools.devcluster.packages import check_machine, install_packages
from tools.devcluster.paths import Paths
from tools.devcluster.report import say, step
from tools.devcluster.status import look
from tools.devcluster.versions import KEDA

API_SECONDS = 120
"""The API server takes 3 s on an idle machine of two cores; a busy one is given forty times that."""

CONTAINERD_SECONDS = 60

POD_SECONDS = 300


def bring_up(paths: Paths, options: Options | None, *, with_keda: bool) -> None:
    """Bring the cluster up, or say that it is.

    Raises DevclusterError with what is missing.
    """
    check_root_only()
    with held(paths.lock, f"another process works on cluster {paths.name!r}"):
        started = time.monotonic()
        status = look(paths)
        chosen = options or (status.claim.options if status.claim else Options())
        unchanged = status.claim is not None and status.claim.options == chosen
        if status.claim and status.state == "up" and unchanged and (status.keda_available or not with_keda):
            say(f"cluster {paths.name} is up")
            summary(paths, status.claim)
            return
        check_machine()
        if unbuilt():
            go_program()  # said now, not after a minute of installing packages
        install_packages()
        build_all()
        if status.state == "dead":
            say(f"removing what is left of cluster {paths.name}: its node does not run any more")
            node.remove(paths)
        if status.state in ("absent", "dead"):
            say(f"starting cluster {paths.name}")
            claim = node.make_claim(paths, binaries(), chosen)
            with step("keys, certificates, configuration"):
                node.write_config(claim, paths)
            with step("node's namespaces"):
                pid = node.start(claim, paths)
        else:
            say(f"completing cluster {paths.name}: {'; '.join(status.faults) or 'KEDA is not installed'}")
            claim, pid = node.running(paths)
        complete(claim, paths, pid, chosen, with_keda=with_keda)
        say(f"cluster {paths.name} is up after {time.monotonic() - started:.0f} s")
        summary(paths, claim)


def check_root_only() -> None:
    """Fail early, before any file is made, when this is not root.

    Raises MachineError when this is not root, or not Linux.
    """
    if os.geteuid() != 0:
        check_machine()


def complete(claim: Claim, paths: Paths, pid: int, options: Options, *, with_keda: bool) -> None:
    """Do everything that a started node lacks; each part is safe to repeat.

    Raises DevclusterError when a part fails.
    """
    node.ensure(claim, paths, pid)
    claim = node.set_options(claim, paths, options)
    for name in COMPONENTS:
        control.ask(paths, {"do": "start", "component": name})
    api = node.api(claim, paths)
    programs = binaries()
    addons = [Image(PAUSE_IMAGE, programs["pause"], "/pause"), dns.image(programs)]
    if with_keda:
        addons += keda.images(programs)
    # containerd is there long before the API server is ready: use the time.
    with _explained(paths, "containerd"):
        load_missing(pid, addons)
    with step("API server ready"), _explained(paths, "kube-apiserver"):
        node.wait("the API server to be ready", API_SECONDS, api.ready)
    kubectl = Path(claim.binaries["kubectl"])
    with step("CoreDNS, StorageClass and KEDA applied" if with_keda else "CoreDNS and StorageClass applied"):
        _apply_addons(claim, paths, kubectl)
        if with_keda:
            keda.apply(kubectl, paths.kubeconfig, programs["keda"].with_name("keda.yaml"))

    def ready() -> bool:
        with contextlib.suppress(ApiError):
            return condition(api.node(claim.node), "Ready") == "True"
        return False

    with step("node Ready"), _explained(paths, "kubelet"):
        node.wait(f"node {claim.node} to be Ready", POD_SECONDS, ready)
    deployment = "/apis/apps/v1/namespaces/kube-system/deployments/coredns"
    with step("CoreDNS available"):
        node.wait("CoreDNS", POD_SECONDS, lambda: condition(api.get(deployment), "Available") == "True")
    if with_keda:
        with step(f"KEDA {KEDA} available"):
            node.wait("KEDA", POD_SECONDS, lambda: keda.available(api))


def load_missing(pid: int, images: list[Image]) -> None:
    """Put the images into the node that it does not have.

    Raises NodeError when containerd does not answer, or refuses one.
    """
    there: set[str] = set()

    def answers() -> bool:
        with contextlib.suppress(NodeError):
            there.update(present(pid))
            return True
        return False

    node.wait("containerd to answer", CONTAINERD_SECONDS, answers)
    absent = [image for image in images if image.name not in there]
    if absent:
        with step(f"{len(absent)} images of static binaries"):
            for image in absent:
                load_image(pid, image)


@contextlib.contextmanager
def _explained(paths: Paths, component: str) -> Iterator[None]:
    try:
        yield
    except NodeError as error:
        raise NodeError(
            f"{error}\nthe end of {paths.logs}/{component}.log:\n{node.log_tail(paths, component)}"
        ) from None


def _apply_addons(claim: Claim, paths: Paths, kubectl: Path) -> None:
    arguments = ["apply", "--server-side", "--force-conflicts", "--field-manager=hearth-devcluster", "-f", "-"]
    run(
        [str(kubectl), f"--kubeconfig={paths.kubeconfig}", *arguments],
        error=NodeError,
        stdin=json.dumps(dns.manifests(claim)).encode(),
    )
    run(
        [str(kubectl), f"--kubeconfig={paths.kubeconfig}", *arguments],
        error=NodeError,
        stdin=json.dumps(storage.manifest()).encode(),
    )


def summary(paths: Paths, claim: Claim) -> None:
    """How to use it."""
    say(f"  export KUBECONFIG={paths.kubeconfig}")
    say(f"  kubectl: {claim.binaries['kubectl']}")


def take_down(paths: Paths) -> None:
    """Remove the cluster and say what was removed.

    Raises DevclusterError when something does not go.
    """
    check_root_only()
    with held(paths.lock, f"another process works on cluster {paths.name!r}"):
        node.check_ours(paths)
        left = node.remains(paths, node.read_claim(paths))
        if left:
            with step(f"cluster {paths.name} removed: {', '.join(left)}"):
                node.remove(paths)
        else:
            say(f"cluster {paths.name} is down")
    apt.tidy()
    for folder in (paths.root.parent, paths.root.parent.parent):
        with contextlib.suppress(OSError):  # another cluster's, or another program's
            folder.rmdir()
    if not cgroups.exist(CGROUPS):  # a cluster has something mounted there, which would go too
        with contextlib.suppress(OSError):
            Path(CLAIMS).rmdir()


def install_keda(paths: Paths) -> None:
    """Add KEDA to a running cluster and wait until it is available.

    Raises DevclusterError when the cluster is not up, or KEDA does not become available.
    """
    claim, pid = node.running(paths)
    programs = build_all()
    load_missing(pid, keda.images(programs))
    keda.apply(Path(claim.binaries["kubectl"]), paths.kubeconfig, programs["keda"].with_name("keda.yaml"))
    api = node.api(claim, paths)
    with step(f"KEDA {KEDA} available"):
        node.wait("KEDA", POD_SECONDS, lambda: keda.available(api))


def remove_keda(paths: Paths) -> None:
    """Take KEDA, its CRDs and all its objects out of a running cluster.

    Raises DevclusterError when the cluster is not up, or kubectl fails.
    """
    claim, _ = node.running(paths)
    if unbuilt():
        raise DevclusterError("KEDA's manifests are not in the cache; run: up")
    with step("KEDA removed"):
        keda.remove(Path(claim.binaries["kubectl"]), paths.kubeconfig, binaries()["keda"].with_name("keda.yaml"))
