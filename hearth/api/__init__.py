"""Manifests: the two kinds that users write, and how they are read. No other part of Hearth knows the names on the wire."""

from __future__ import annotations

from hearth.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
