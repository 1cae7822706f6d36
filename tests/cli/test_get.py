"""`hearth get`: the table, the wide one, and the documents."""

from __future__ import annotations

import json

import pytest

from hearth.api.errors import HearthError
from hearth.cli.get import age
from tests.cli.peer import Peer, run


def test_get_prints_what_kubectl_would(peer: Peer) -> None:
    assert run("get").splitlines() == [
        "NAME    PHASE     RUNTIME     REPLICAS   AGE",
        "llama   Pending   vllm-fake   0          59s",
        "qwen    Ready     vllm-fake   2          5m12s",
    ]
    assert peer.asked == [{"do": "get"}]


def test_get_wide_says_why(peer: Peer) -> None:
    header, llama = run("get", "llama", "-o", "wide").splitlines()
    assert header.split() == ["NAME", "PHASE", "RUNTIME", "REPLICAS", "AGE", "WANTED", "HELD", "IN-FLIGHT", "REASON"]
    assert llama.endswith("1        4      0           needs 1 accelerator of vendor fake")


def test_get_json_is_for_programs(peer: Peer) -> None:
    assert json.loads(run("get", "qwen", "-o", "json"))[0]["in_flight"] == 3


def test_get_of_an_unknown_name_lists_the_known(peer: Peer) -> None:
    with pytest.raises(HearthError, match="there is no service 'nobody'; known services: llama, qwen"):
        run("get", "nobody")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0s"),
        (119, "119s"),
        (120, "2m"),
        (599, "9m59s"),
        (3600, "60m"),
        (10800, "3h"),
        (90000, "25h"),
        (200000, "2d"),
    ],
)
def test_ages_read_as_in_kubectl(seconds: float, text: str) -> None:
    assert age(seconds) == text
