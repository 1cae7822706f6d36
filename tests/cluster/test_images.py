"""Images in pods: read-only, without privileges, and with nothing in them that an attacker could use."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.chart.support import REGISTRY
from tests.cluster.namespace import Namespace
from tools.distributions import ROOT, plugins
from tools.images.archive import pack
from tools.images.builder import Buildah
from tools.images.cache import cache, locked, run, tool
from tools.images.recipe import RECIPES

OPERATOR, GATEWAY, STUB = (RECIPES[name].reference for name in ("operator", "gateway", "stub"))
COMPILERS = ("cc", "gcc", "g++", "c++", "clang", "ld", "as", "make", "go", "rustc")
DOWNLOADERS = ("curl", "wget", "apt-get", "apt")


async def say(namespace: Namespace, image: str, *command: str, name: str = "try") -> str:
    """Run a command in a pod at the `restricted` level with a read-only root; return what it wrote, once it ended."""
    await namespace.kube.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace.name},
            "spec": {
                "restartPolicy": "Never",
                "automountServiceAccountToken": False,
                "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [
                    {
                        "name": "try",
                        "image": image,
                        **({"command": list(command)} if command[0] != "--help" else {"args": list(command)}),
                        "securityContext": {
                            "allowPrivilegeEscalation": False,
                            "readOnlyRootFilesystem": True,
                            "capabilities": {"drop": ["ALL"]},
                        },
                    }
                ],
            },
        }
    )
    ended = await namespace.kube.until("Pod", name, namespace.name, lambda pod: exit_code(pod) is not None, "ended")
    said = await namespace.kube.logs(namespace.name, name, "try")
    assert exit_code(ended) == 0, said
    return said


def exit_code(pod: dict[str, Any]) -> int | None:
    for status in pod.get("status", {}).get("containerStatuses", ()):
        ended = status["state"].get("terminated")
        return None if ended is None else int(ended["exitCode"])
    return None


INSPECTION = f"""
import importlib.metadata, json, os, shutil, sys
from pathlib import Path
site = Path(next(path for path in sys.path if path.endswith("site-packages")))
sources = [path for path in site.rglob("*.py")]
try:
    Path("/hearth-test").touch()
    writable = True
except OSError as error:
    writable = False
print(json.dumps({{
    "uid": os.getuid(),
    "gid": os.getgid(),
    "found": [name for name in {(*COMPILERS, *DOWNLOADERS, "pip")!r} if shutil.which(name)],
    "writable": writable,
    "packages": sorted(found.name.lower() for found in importlib.metadata.distributions()),
    "uncompiled": len([path for path in sources if not list((path.parent / "__pycache__").glob(path.stem + ".*.pyc"))]),
    "setuid": sorted(str(path) for path in Path(sys.prefix).rglob("*") if path.is_file() and path.stat().st_mode & 0o6000),
}}))
"""


@pytest.mark.parametrize(
    ("image", "carries", "without"),
    [
        (OPERATOR, {"hearth-serving", *plugins(), "kopf", "pip"}, {"kubernetes"}),
        (GATEWAY, {"hearth-gateway", "grpcio", "uvloop"}, {"hearth-serving", "kopf", "kubernetes", "pydantic", "pip"}),
        (STUB, {"hearth-vllm-stub", "aiohttp"}, {"hearth-serving", "hearth-gateway", "pydantic", "grpcio", "pip"}),
    ],
    ids=["operator", "gateway", "stub"],
)
async def test_an_image_has_what_it_needs_and_no_more(
    namespace: Namespace, image: str, carries: set[str], without: set[str]
) -> None:
    found = json.loads(await say(namespace, image, "python", "-c", INSPECTION))
    assert (found["uid"], found["gid"]) == (65532, 65532)
    assert found["found"] == (["pip"] if "pip" in carries else [])
    assert not found["writable"]
    assert carries <= set(found["packages"])
    assert not without & set(found["packages"])
    assert found["setuid"] == []
    assert found["uncompiled"] < 10, (
        "what is not compiled is compiled again at every start, because the root is read-only"
    )


@pytest.mark.parametrize(
    ("image", "says"),
    [(OPERATOR, "Usage: hearth operator"), (GATEWAY, "usage: hearth-gateway"), (STUB, "usage: vllm-stub")],
    ids=["operator", "gateway", "stub"],
)
async def test_the_entry_point_answers(namespace: Namespace, image: str, says: str) -> None:
    assert says in await say(namespace, image, "--help")


async def test_the_operators_image_knows_three_vendors(namespace: Namespace) -> None:
    assert vendors(await say(namespace, OPERATOR, "hearth", "plugins")) == {
        "ascend": "ready",
        "fake": "ready",
        "nvidia": "ready",
    }


def vendors(table: str) -> dict[str, str]:
    rows = [re.split(r"\s{2,}", line) for line in table.strip().splitlines()]
    status = rows[0].index("STATUS")
    return {row[0]: row[status] for row in rows[1:]}


async def test_one_more_vendor_is_two_lines(
    namespace: Namespace, run_devcluster: Callable[..., Any], tmp_path: Path
) -> None:
    """docs/images.md, with the chip of docs/plugin-tutorial.md and a folder of wheels in place of the index."""
    archive = await asyncio.to_thread(derived, tmp_path)
    await run_devcluster("load-image", str(archive))
    found = vendors(await say(namespace, DERIVED, "hearth", "plugins"))
    assert found == {"ascend": "ready", "fake": "ready", "mica": "ready", "nvidia": "ready"}


DERIVED = "localhost/hearth-operator-mica:0.1.0"


def derived(directory: Path) -> Path:
    """Build the plugin's wheel and the image with it; return the image's archive."""
    tutorial = (ROOT / "docs/plugin-tutorial.md").read_text()
    for text in re.findall(r"^```\w*\n(# \S+\.(?:toml|yaml|py)\n.*?)^```$", tutorial, re.MULTILINE | re.DOTALL):
        path = directory / text.split()[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (directory / "wheels").mkdir()
    run([tool("hatchling"), "build", "--target", "wheel", "--directory", "wheels"], cwd=directory)
    (directory / "pip.conf").write_text("[global]\nno-index = true\nfind-links = /wheels\n")
    (containerfile,) = re.findall(r"^```dockerfile\n(.*?)^```$", (ROOT / "docs/images.md").read_text(), re.M | re.S)
    lines = containerfile.replace("hearth-mychip", "hearth-mica").replace(REGISTRY, "localhost").splitlines()
    assert len(lines) == 2
    (directory / "context").mkdir()
    (directory / "context" / "Containerfile").write_text("\n".join(lines))
    mounts = [f"--volume={directory}/wheels:/wheels:ro", f"--volume={directory}/pip.conf:/etc/pip.conf:ro"]
    with locked():
        buildah = Buildah()
        buildah.run("build", "--quiet", *mounts, "--tag", DERIVED, directory / "context")
        buildah.run("push", "--quiet", "--disable-compression", DERIVED, f"dir:{directory}/image")
    pack(directory / "image", DERIVED, directory / "mica.tar", cache() / "compressed")
    return directory / "mica.tar"
