"""Plugin contract: what a vendor plugin imports, and the host that loads and calls plugins."""

from __future__ import annotations

from hearth.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
