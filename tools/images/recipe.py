"""Recipes of the images: what is in each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tools.distributions import ROOT, distributions, plugins

REGISTRY = "localhost"
"""The registry in the names of images that are not pushed yet."""
DISTRIBUTIONS = distributions()
"""First-party distributions by name."""


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
        return f"{self.image}:{self.version}"

    @property
    def version(self) -> str:
        """Return the version of the first distribution, which the image is named after."""
        return DISTRIBUTIONS[next(iter(self.distributions))].version

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
                "hearth-serving": ("operator",),
                # hearth-serving asks for the first, because local mode embeds it, and hearth-fake for the second
                "hearth-gateway": (),
                "hearth-vllm-stub": (),
                **dict.fromkeys(plugins(), ()),
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


def _requirements(distributions: Mapping[str, tuple[str, ...]]) -> Iterable[str]:
    for name, extras in distributions.items():
        table = DISTRIBUTIONS[name].project
        yield from _foreign(table.get("dependencies", ()))
        for extra in extras:
            yield from _foreign(table.get("optional-dependencies", {}).get(extra, ()))


def _foreign(requirements: Iterable[str]) -> Iterable[str]:
    for requirement in requirements:
        match = re.match(r"[A-Za-z0-9._-]+", requirement)
        if match is not None and match.group() not in DISTRIBUTIONS:
            yield requirement
