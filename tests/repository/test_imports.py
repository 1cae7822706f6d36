"""Imports over all distributions of the repository, plugins included; the contracts between rooms are in `pyproject.toml`.

Imports for type checking and inside functions count: what a module knows is what it names.
"""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter

import grimp
import pytest

from tools.distributions import Distribution, distributions, plugins

CONTRACT = ("hearth.api", "hearth.plugins")
"""Packages that a vendor plugin may import of this repository, beside its own."""


@pytest.fixture(scope="module")
def imports() -> Mapping[str, set[str]]:
    """Every module of the repository with the modules of the repository that it imports."""
    every = distributions().values()
    with pytest.MonkeyPatch.context() as patch:
        for directory in {package.parent for each in every for package in each.packages}:
            patch.syspath_prepend(str(directory))
        graph = grimp.build_graph("tools", *(name for each in every for name in names(each)), cache_dir=None)
    return {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}


def names(distribution: Distribution) -> list[str]:
    return [package.name for package in distribution.packages]


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def test_no_import_circle(imports: Mapping[str, set[str]]) -> None:
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        pytest.fail(" <- ".join(circle))


@pytest.mark.parametrize("plugin", plugins().values(), ids=plugins())
def test_a_plugin_imports_the_contract_only(plugin: Distribution, imports: Mapping[str, set[str]]) -> None:
    allowed = (*CONTRACT, *names(plugin))
    for package in names(plugin):
        for module in (each for each in imports if within(each, package)):
            others = [each for each in imports[module] if not any(within(each, name) for name in allowed)]
            assert not others, f"{module} imports {others}"


@pytest.mark.parametrize("plugin", plugins().values(), ids=plugins())
def test_nothing_imports_a_plugin(plugin: Distribution, imports: Mapping[str, set[str]]) -> None:
    for package in names(plugin):
        users = [
            module
            for module, imported in imports.items()
            if not within(module, package) and any(within(each, package) for each in imported)
        ]
        assert not users
