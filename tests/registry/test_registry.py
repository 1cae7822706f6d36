"""The README's way to a cluster, with a real registry in the middle: push, install, wake. With and without a password.

Brings a development cluster of its own up, which is given no image: it pulls every one of Hearth's.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.chart.support import REGISTRY, ROOT
from tests.registry.registry import Account, install, serve
from tests.support import manifests
from tests.support.manifests import Manifest
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

CLUSTER = "registry"
README = (ROOT / "README.md").read_text()
OPEN, CLOSED = 5000, 5001
"""Ports of the registry that lets everybody in, and of the one with a password."""
ACCOUNT = Account("team", "not-a-secret-anywhere-else")
SECRET = "registry"


class Cluster:
    """The development cluster, and the programs that the README names."""

    def __init__(self) -> None:
        self.environ = dict(os.environ)

    def run(self, *argv: str, check: bool = True, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a program in the repository; AssertionError with what it printed when it fails."""
        done = subprocess.run(
            argv, cwd=ROOT, env={**self.environ, **environ}, capture_output=True, text=True, check=False
        )
        assert not check or done.returncode == 0, f"{shlex.join(argv)}\n{done.stdout}{done.stderr}"
        return done

    def devcluster(self, *argv: str) -> str:
        return self.run(sys.executable, "-m", "tools.devcluster", *argv, "--name", CLUSTER).stdout.strip()

    def up(self) -> None:
        self.devcluster("up")
        self.environ["KUBECONFIG"] = self.devcluster("path", "kubeconfig")
        folders = {Path(self.devcluster("path", program)).parent for program in ("kubectl", "helm")}
        self.environ["PATH"] = os.pathsep.join([*map(str, folders), self.environ["PATH"]])

    def type(self, command: str, registry: str, *more: str) -> None:
        """Carry out a command of the README, with another registry than its example."""
        self.run(*shlex.split(command.replace(REGISTRY, registry), comments=True), *more)

    def get(self, *argv: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("kubectl", "get", *argv, "--output=json").stdout)
        return found

    def images(self, *argv: str) -> set[str]:
        """Return the images of the containers of pods."""
        return {
            container["image"] for pod in self.get("pods", *argv)["items"] for container in pod["spec"]["containers"]
        }

    def apply(self, *objects: Mapping[str, Any]) -> None:
        for each in objects:
            subprocess.run(
                ["kubectl", "apply", "-f", "-"], input=json.dumps(each), text=True, env=self.environ, check=True
            )

    def ask(self, model: str) -> str:
        """Ask for a streamed answer through the model's Service; return the whole stream."""
        address = self.get("service", model)["spec"]["clusterIP"]
        body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
        request = urllib.request.Request(
            f"http://{address}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=240) as response:
            return response.read().decode()  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Bring a cluster up without any image of Hearth."""
    install()
    found = Cluster()
    try:
        found.up()
        yield found
    finally:
        found.devcluster("down")


@pytest.fixture(scope="module")
def readme(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the commands of the README's section about clusters, with its manifest where they find it."""
    [section] = re.findall(r"^## In a cluster\n(.*?)^## ", README, re.MULTILINE | re.DOTALL)
    [block] = re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    [manifest] = re.findall(r"^```yaml\n(# qwen\.yaml\n.*?)^```$", README, re.MULTILINE | re.DOTALL)
    path = tmp_path_factory.mktemp("readme") / "qwen.yaml"
    path.write_text(manifest)
    return block.replace("\\\n", " ").replace("qwen.yaml", str(path)).splitlines()


def test_every_image_comes_from_the_registry(cluster: Cluster, readme: list[str], tmp_path: Path) -> None:
    address = cluster.devcluster("trust-registry", str(OPEN))
    registry = f"{address}/hearth"
    push, helm, apply, wait = readme
    with serve(tmp_path / "registry", address):
        told = cluster.run(*shlex.split(push.replace(REGISTRY, registry), comments=True), check=False)
        assert told.returncode != 0
        assert f"make push REGISTRY={registry} PLAIN_HTTP=1" in told.stderr
        cluster.type(push, registry, "PLAIN_HTTP=1")
        cluster.type(helm, registry, "--wait")
        cluster.type(apply, registry)
        cluster.type(wait, registry)
        assert "data: [DONE]" in cluster.ask("qwen3-8b")
        mine = cluster.images("--namespace=hearth-system") | cluster.images("--namespace=default")
        names = {image.removeprefix(f"{registry}/").partition(":")[0] for image in mine}
        assert names == {"hearth-operator", "hearth-gateway", "hearth-vllm-stub"}


def test_a_registry_with_a_password(cluster: Cluster, readme: list[str], tmp_path: Path) -> None:
    """Who did not log in is told to; a model without a pull secret says so, and wakes once it has one."""
    address = cluster.devcluster("trust-registry", str(CLOSED))
    registry = f"{address}/hearth"
    push = shlex.split(readme[0].replace(REGISTRY, registry), comments=True)
    login = {"REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")}
    with serve(tmp_path / "registry", address, ACCOUNT):
        told = cluster.run(*push, "PLAIN_HTTP=1", check=False, **login)
        assert told.returncode != 0
        assert f"skopeo login {address}" in told.stderr
        credentials = ("--username", ACCOUNT.user, "--password", ACCOUNT.password)
        cluster.run("skopeo", "login", "--tls-verify=false", *credentials, address, **login)
        cluster.run(*push, "PLAIN_HTTP=1", **login)

        for namespace in ("hearth-system", "default"):
            cluster.apply(pull_secret(namespace, address))
        values = {
            "image.registry": registry,
            "operator.image.pullSecrets[0]": SECRET,
            "gateway.image.pullSecrets[0]": SECRET,
        }
        cluster.run(
            "helm", "upgrade", "hearth", "charts/hearth", "--namespace=hearth-system", "--wait",
            *(word for key, value in values.items() for word in ("--set", f"{key}={value}")),
        )  # fmt: skip
        gateway = f"{registry}/hearth-gateway:0.1.0"
        wait_until(lambda: gateway in cluster.images("--namespace=default"), "a gateway from the new registry", 120)
        cluster.run("kubectl", "rollout", "status", "deployment/hearth-gateway", "--timeout=120s")

        cluster.apply(service("closed"))
        cluster.run("kubectl", "wait", "--for=condition=Ready", "--timeout=2m", "llmservice", "closed")
        cluster.run("kubectl", "scale", "deployment", "closed", "--replicas=1")
        wait_until(
            lambda: "spec.imagePullSecrets" in conditions(cluster, "closed"),
            lambda: f"a condition that names the remedy: {conditions(cluster, 'closed')}",
            120,
        )
        cluster.apply(service("closed", imagePullSecrets=[{"name": SECRET}]))
        assert "data: [DONE]" in cluster.ask("closed")


def pull_secret(namespace: str, address: str) -> dict[str, Any]:
    """Return what `kubectl create secret docker-registry` makes."""
    auths = {"auths": {address: {"username": ACCOUNT.user, "password": ACCOUNT.password}}}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/dockerconfigjson",
        "metadata": {"name": SECRET, "namespace": namespace},
        "stringData": {".dockerconfigjson": json.dumps(auths)},
    }


def service(name: str, **spec: Any) -> Manifest:
    """Return a service in the namespace `default` that any runtime of the fake vendor serves."""
    given = {
        "runtime": {"selector": {"vendor": ["fake"]}},
        "cache": {"strategy": "None"},
        "scaling": {"min": 0, "max": 1},
        **spec,
    }
    return manifests.service(name, "default", **given)


def conditions(cluster: Cluster, name: str) -> str:
    """Return the messages of a service's conditions."""
    found = cluster.get("llmservice", name)["status"]["conditions"]
    return "\n".join(f"{each['type']}: {each['reason']}: {each['message']}" for each in found)
