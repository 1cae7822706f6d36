"""The ConfigMap of a gateway."""

from __future__ import annotations

from typing import Any

import pytest

from hearth.planning import gateway_entries


@pytest.mark.parametrize(
    "config", [{}, {"data": None}, {"data": {"services.json": "{"}}, {"data": {"services.json": "[1]"}},
               {"data": {"services.json": '{"services": [1, {"hosts": []}, {"name": 2}]}'}}]
)  # fmt: skip
def test_a_document_that_is_not_ours_has_no_entries(config: Any) -> None:
    assert gateway_entries(config) == ()
