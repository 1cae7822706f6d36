"""Which images there are, and what is in each."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
"""The repository."""
REGISTRY = "localhost"
"""The registry in the names of images that are not pushed yet."""
DISTRIBUTIONS = {
    "hearth": ".",
    "hearth-gateway": "gateway",
    "hearth-vllm-stub": "stub",
    "hearth-ascend": "plugins/hearth-ascend",
    "hearth-fake": "plugins/hearth-fake",
    "hearth-nvidia": "plugins/hearth-nvidia",
}
"""First-party distributions by name: their directory in the repository."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One image: its Containerfile, and the packages that it installs."""

    name: str
    image: str
    distributions: Mapping[str, tuple[str, ...]]
    """First-party distributions, each with its extras."""
    also: tuple[str, ...] = field(default=())
    """Further requirements."""
    directory: str = ""
    """Where the Containerfile lies, in the repository (`tools/images/NAME`); Python files beside it come with the context."""
    shipped: bool = True
    """False for an image of the tests: built only when it is named."""

    @property
    def source(self) -> Path:
        """Return the directory of the Containerfile."""
        return ROOT / (self.directory or f"tools/images/{self.name}")

    @property
    def reference(self) -> str:
        """Return the full name of the image as it is built here: `localhost/hearth-gateway:0.1.0`."""
        return f"{REGISTRY}/{self.name_and_tag}"

    @property
    def name_and_tag(self) -> str:
        """Return the name of the image in any registry: `hearth-gateway:0.1.0`."""
        first = next(iter(self.distributions))
        return f"{self.image}:{project(first)['version']}"

    def requirements(self) -> tuple[str, ...]:
        """Return what the image needs from others, sorted; an extra that a distribution lacks raises KeyError."""
        return tuple(sorted({*self.also, *_requirements(self.distributions)}))


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "operator",
            "hearth-operator",
            {
                "hearth": ("operator",),
                # hearth asks for the first, because local mode embeds it, and hearth-fake for the second
                "hearth-gateway": (),
                "hearth-vllm-stub": (),
                "hearth-ascend": (),
                "hearth-fake": (),
                "hearth-nvidia": (),
            },
            also=("pip",),
        ),
        Recipe("gateway", "hearth-gateway", {"hearth-gateway": ("cluster",)}),
        Recipe("stub", "hearth-vllm-stub", {"hearth-vllm-stub": ()}),
        Recipe(
            "hub",
            "hearth-test-hub",
            {"hearth-vllm-stub": ()},
            also=("huggingface_hub",),
            directory="tests/cluster/hub",
            shipped=False,
        ),
    )
}


def project(distribution: str) -> Mapping[str, Any]:
    """Return the table `[project]` of a first-party distribution."""
    table: Mapping[str, Any] = document(distribution)["project"]
    return table


def document(distribution: str) -> Mapping[str, Any]:
    """Return the pyproject.toml of a first-party distribution."""
    return tomllib.loads((ROOT / DISTRIBUTIONS[distribution] / "pyproject.toml").read_text())


def _requirements(distributions: Mapping[str, tuple[str, ...]]) -> Iterable[str]:
    for name, extras in distributions.items():
        table = project(name)
        yield from _foreign(table.get("dependencies", ()))
        for extra in extras:
            yield from _foreign(table.get("optional-dependencies", {}).get(extra, ()))


def _foreign(requirements: Iterable[str]) -> Iterable[str]:
    for requirement in requirements:
        match = re.match(r"[A-Za-z0-9._-]+", requirement)
        if match is not None and match.group() not in DISTRIBUTIONS:
            yield requirement
