"""Log lines for people, and for collectors."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from hearth.operator.logs import set_up_logs


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_line_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs("text")
    logging.getLogger("hearth.x").info("Stopping")
    assert capsys.readouterr().err.endswith("INFO    hearth.x: Stopping\n")


def test_an_object_for_collectors(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs("json")
    try:
        raise ValueError("why")
    except ValueError:
        logging.getLogger("hearth.x").exception("Failed to %s", "reconcile é")
    line = json.loads(capsys.readouterr().err)
    assert (line["level"], line["logger"], line["message"]) == ("error", "hearth.x", "Failed to reconcile é")
    assert "ValueError: why" in line["exception"]


def test_what_kopf_logs_for_its_authors_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs("text")
    logging.getLogger("kopf.objects").info("Handler succeeded")
    assert capsys.readouterr().err == ""
