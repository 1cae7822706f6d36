"""Distributions of this repository, found and not listed: one more plugin is one more directory in `plugins/`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
"""The repository."""


@dataclass(frozen=True)
class Distribution:
    """One directory with a `pyproject.toml`, which becomes one wheel."""

    directory: Path

    @cached_property
    def document(self) -> Mapping[str, Any]:
        """The whole `pyproject.toml`."""
        return tomllib.loads((self.directory / "pyproject.toml").read_text())

    @property
    def project(self) -> Mapping[str, Any]:
        """The table `[project]`."""
        table: Mapping[str, Any] = self.document["project"]
        return table

    @property
    def name(self) -> str:
        """The name that pip installs."""
        return str(self.project["name"])

    @property
    def version(self) -> str:
        """The version of its next release."""
        return str(self.project["version"])

    @property
    def packages(self) -> tuple[Path, ...]:
        """The directories of its import packages."""
        wheel = self.document["tool"]["hatch"]["build"]["targets"]["wheel"]
        return tuple(self.directory / package for package in wheel["packages"])


def plugins(root: Path = ROOT) -> dict[str, Distribution]:
    """Return the vendor plugins of a checkout, by name."""
    return _named(*sorted(path.parent for path in root.glob("plugins/*/pyproject.toml")))


def distributions(root: Path = ROOT) -> dict[str, Distribution]:
    """Return every distribution of a checkout, by name; each comes after those that it needs."""
    return _named(root / "gateway", root / "stub", root) | plugins(root)


def _named(*directories: Path) -> dict[str, Distribution]:
    return {found.name: found for found in map(Distribution, directories)}
