"""The scheduler's message: its words, and the resources that it names."""

from __future__ import annotations

import pytest

from hearth.operator.diagnosis.scheduler_message import insufficient, scheduler_words


@pytest.mark.parametrize(
    ("message", "words", "short"),
    [
        (
            "0/1 nodes are available: 1 Insufficient hearth.dev/fake-accelerator. no new claims to deallocate, preemption: "
            "0/1 nodes are available: 1 No preemption victims found for incoming pod.",
            "0/1 nodes are available: 1 Insufficient hearth.dev/fake-accelerator",
            {"hearth.dev/fake-accelerator": 1},
        ),
        (
            "0/3 nodes are available: 1 Insufficient cpu, 2 Insufficient memory. preemption: 0/3 nodes are available: 3 No "
            "preemption victims found for incoming pod.",
            "0/3 nodes are available: 1 Insufficient cpu, 2 Insufficient memory",
            {"cpu": 1, "memory": 2},
        ),
        ("", "", {}),
    ],
)
def test_the_schedulers_words(message: str, words: str, short: dict[str, int]) -> None:
    assert scheduler_words(message) == words
    assert insufficient(message) == short
