"""Lazy packages: every name of a stub is there, and no other."""

from __future__ import annotations

from importlib import import_module

import pytest


@pytest.mark.parametrize("package", ["hearth.api", "hearth.plugins"])
def test_every_name_of_the_stub_is_there(package: str) -> None:
    module = import_module(package)
    for name in module.__all__:
        assert getattr(module, name) is not None
        assert name in dir(module)


def test_no_other_name_is_there() -> None:
    with pytest.raises(AttributeError, match=r"module 'hearth\.api' has no attribute 'nothing'"):
        _ = import_module("hearth.api").nothing
