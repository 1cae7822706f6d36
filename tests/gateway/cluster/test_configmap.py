"""The ConfigMap of a gateway: what is wrong with one entry is that entry's matter."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth_gateway import ConfigError, ServiceConfig
from hearth_gateway.cluster.configmap import MAX_NOTICE, ConfigMap, Reader, Settings
from hearth_gateway.cluster.metadata import Metadata


def settings(*entries: Any, before: dict[str, ServiceConfig] | None = None, **data: Any) -> Settings:
    more = {f"{key}.json": value if isinstance(value, str) else json.dumps(value) for key, value in data.items()}
    documents = {"services.json": json.dumps({"services": entries}), **more}
    return Reader().read(ConfigMap(Metadata("gw"), documents), before or {})


def names(found: Settings) -> list[str]:
    return [each.name for each in found.services]


def test_a_good_one() -> None:
    found = settings({"name": "a", "namespace": "ns"}, {"name": "b"}, notices={"a": " no node has\n the device "})
    assert found == Settings(
        (ServiceConfig("a", "ns"), ServiceConfig("b")), {"a": "no node has the device"}, problems=()
    )
    assert settings() == Settings((), {}, ())


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"name": "b", "replicas": 2}, "services[1]: the field 'replicas' is not known"),
        ({"name": "b", "limits": {"maxHeld": -1}}, "services[1].limits.maxHeld: -1 is negative"),
        ({"name": "b", "coldStart": {"mode": "nap"}}, "services[1].coldStart.mode: 'nap' is not known"),
        ({"name": ""}, "services[1].name: '' is not a model name"),
        ({}, "services[1]: the field 'name' is missing"),
        (7, "services[1]"),
        (None, "services[1]"),
        ("b", "services[1]"),
    ],
)
def test_a_bad_entry_is_left_out(entry: Any, words: str) -> None:
    found = settings({"name": "a"}, entry, {"name": "c"})
    assert names(found) == ["a", "c"]
    [problem] = found.problems
    assert problem.startswith(f"ConfigMap gw: services.json: {words}")
    assert problem.endswith("; it is not served")


def test_a_bad_entry_of_a_known_service_changes_nothing() -> None:
    known = ServiceConfig("b", activation_timeout_seconds=7.0)
    found = settings({"name": "a"}, {"name": "b", "activationTimeoutSeconds": 0}, before={"b": known})
    assert found.services == (ServiceConfig("a"), known)
    assert found.problems[0].endswith("; keeping its last valid version")


def test_a_name_that_is_taken_is_the_later_ones_matter() -> None:
    found = settings(
        {"name": "a", "hosts": ["X"]}, {"name": "b", "aliases": ["a"]}, {"name": "a"}, {"name": "c", "hosts": ["x"]}
    )
    assert names(found) == ["a"]
    for index, problem in zip((1, 2, 3), found.problems, strict=True):
        assert problem.startswith(f"ConfigMap gw: services.json: services[{index}]: the ")
        assert problem.endswith("; it is not served")
    assert "'a' and 'b'" in found.problems[0]
    assert "'a' twice" in found.problems[1]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"services": {}}',
        '{"services": [], "x": 1}',
        "{}x",
        "[" * 100_000,
        '{"services": [1}',
        '{"services": [' + "[" * 100_000,
    ],
)
def test_what_is_no_document_is_an_error(text: str) -> None:
    with pytest.raises(ConfigError, match=r"ConfigMap gw: services\.json"):
        Reader().read(ConfigMap(Metadata("gw"), {"services.json": text}), {})


def test_without_a_document() -> None:
    for data in (None, {}, {"services.yaml": "{}"}):
        with pytest.raises(ConfigError, match="the key is missing"):
            Reader().read(ConfigMap(Metadata("gw"), data), {})


def test_notices_that_are_none() -> None:
    assert settings({"name": "a"}, notices={"a": "", "b": 7, "c": None, "d": ["x"]}).notices == {}
    assert settings(notices={"a": "x" * 10_000}).notices == {"a": "x" * MAX_NOTICE}
    found = settings({"name": "a"}, notices="[")
    assert names(found) == ["a"]
    assert found.notices == {}
    assert "notices.json" in found.problems[0]


def test_entries_that_did_not_change_are_the_same_objects() -> None:
    reader = Reader()

    def names_to(*entries: Any) -> list[ServiceConfig]:
        text = json.dumps({"services": entries})
        return list(reader.read(ConfigMap(Metadata("gw"), {"services.json": text}), {}).services)

    a, b = names_to({"name": "a"}, {"name": "b"})
    again, changed, new = names_to({"name": "a"}, {"name": "b", "aliases": ["x"]}, {"name": "c"})
    assert again is a
    assert changed != b
    assert [each.name for each in names_to({"name": "b"})] == ["b"]
    assert new.name == "c"
    assert len(reader._parsed) == 1


ENTRY = st.one_of(
    st.fixed_dictionaries({"name": st.sampled_from("abcd")}),
    st.fixed_dictionaries({"name": st.sampled_from("abcd"), "aliases": st.lists(st.sampled_from("abcd"))}),
    st.fixed_dictionaries({"name": st.sampled_from("abcd"), "limits": st.just({"maxHeld": -1})}),
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    ),
)


@given(st.lists(ENTRY, max_size=6))
def test_whatever_is_there_the_result_is_one_that_a_gateway_takes(entries: list[Any]) -> None:
    found = settings(*entries)
    good = [
        entry for entry in entries if isinstance(entry, dict) and set(entry) == {"name"} and entry["name"] in "abcd"
    ]
    assert len(found.services) + len(found.problems) >= len(entries) > 0 or not entries
    for entry in good:
        assert entry["name"] in {name for each in found.services for name in (each.name, *each.aliases)}
    taken = [name for each in found.services for name in (each.name, *each.aliases)]
    assert len(taken) == len(set(taken))
