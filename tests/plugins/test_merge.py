"""The laws of merging: stronger wins, nothing is lost silently, nothing is doubled."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth.plugins.merge import MergeConflict, Source, append_unique, deep_overlay, overlay, strongest, union

RANKS: list[Source] = ["default", "plugin", "runtime", "user"]
MAPPINGS = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 2), max_size=4)
LAYERS = st.fixed_dictionaries(dict.fromkeys(RANKS, MAPPINGS))


@given(layers=LAYERS, order=st.permutations(RANKS))
def test_the_strongest_layer_wins_in_any_order(layers: dict[Source, dict[str, int]], order: list[Source]) -> None:
    merged, notes = overlay("env", [(rank, layers[rank]) for rank in order])
    assert (merged, notes) == overlay("env", [(rank, layers[rank]) for rank in RANKS])
    assert set(merged) == {key for values in layers.values() for key in values}
    for key, value in merged.items():
        owner = next(rank for rank in reversed(RANKS) if key in layers[rank])
        assert value == layers[owner][key]


@given(layers=LAYERS)
def test_every_value_that_lost_is_noted_once(layers: dict[Source, dict[str, int]]) -> None:
    _, notes = overlay("env", [(rank, layers[rank]) for rank in RANKS])
    for key in "abcd":
        said = [(rank, layers[rank][key]) for rank in RANKS[1:] if key in layers[rank]]
        overridden = sum(below[1] != above[1] for below, above in pairwise(said))
        assert sum(f" {key}: " in note for note in notes) == overridden


@given(values=MAPPINGS)
def test_merging_again_changes_nothing(values: dict[str, int]) -> None:
    merged, _ = overlay("env", [("default", values)])
    assert overlay("env", [("default", merged), ("plugin", merged)]) == (merged, ())
    assert deep_overlay(deep_overlay({}, values), values) == values


def test_a_note_says_whose_value_is_used() -> None:
    layers: list[tuple[Source, dict[str, str]]] = [
        ("default", {"A": "0"}),
        ("plugin", {"A": "1", "B": "1"}),
        ("runtime", {"A": "2", "B": "1"}),
    ]
    assert overlay("env", layers) == ({"A": "2", "B": "1"}, ("env A: the runtime's value is used, not the plugin's",))
    assert strongest("schedulerName", [("runtime", "volcano"), ("plugin", "hami")]) == (
        "volcano",
        ("schedulerName: the runtime's value is used, not the plugin's",),
    )
    assert strongest("schedulerName", [("runtime", None), ("plugin", None)]) == (None, ())


@pytest.mark.parametrize(
    ("added", "problem"),
    [
        ([{"name": "shm"}], "the volume name 'shm' is taken"),
        ([{"name": "a"}, {"name": "a"}], "the volume name 'a' is taken"),
        ([{"path": "/x"}], "a volume without 'name'"),
    ],
)
def test_named_things_are_never_replaced(added: list[dict[str, Any]], problem: str) -> None:
    with pytest.raises(MergeConflict, match=problem):
        append_unique([{"name": "shm"}], added, key="name", kind="volume")


def test_union_keeps_the_first_of_equals() -> None:
    assert union([{"key": "a"}, {"key": "b"}, {"key": "a"}]) == [{"key": "a"}, {"key": "b"}]
