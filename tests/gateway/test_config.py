"""The services format and the catalogue of its errors: each names the place, the value and the remedy."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth_gateway import ConfigError, parse_service, parse_services


def one(**fields: Any) -> dict[str, Any]:
    return {"services": [{"name": "m", **fields}]}


def message(document: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_services(document)
    return str(caught.value)


def test_defaults_are_those_of_the_reference() -> None:
    config = parse_service({"name": "m"})
    assert (config.namespace, config.aliases, config.hosts, config.endpoints) == ("default", (), (), ())
    assert (config.cold_start.mode, config.cold_start.heartbeat_interval_seconds) == ("keepalive", 10)
    assert config.activation_timeout_seconds == 300
    limits = config.limits
    assert (limits.max_held, limits.max_held_bytes, limits.max_in_flight) == (100, 64 << 20, 1024)
    assert limits.max_request_bytes == 32 << 20
    assert (config.probe.path, config.probe.interval_seconds, config.probe.timeout_seconds) == ("/health", 0.1, 1)


def test_no_services_is_a_table_too() -> None:
    assert parse_services({"services": []}) == parse_services({}) == ()


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"servces": []}, "the document: the field 'servces' is not known; did you mean 'services'?"),
        ({"services": [{}]}, "services[0]: the field 'name' is missing; add it"),
        ({"services": None}, "services: None is not a list; write one, such as [a, b]"),
        (
            {"services": [{"name": "a"}, 5]},
            "services[1]: 5 is not a mapping; write one with fields of name, namespace, ",
        ),
        (one(maxHeld=1), "services[0]: the field 'maxHeld' is not known; known are name, namespace, aliases, "),
        (one(coldstart={}), "services[0]: the field 'coldstart' is not known; did you mean 'coldStart'?"),
        (one(limits={"maxheld": 1}), "services[0].limits: the field 'maxheld' is not known; did you mean 'maxHeld'?"),
        (one(probe={"port": 1}), "services[0].probe: the field 'port' is not known; known are path, "),
        (one(endpoints=[{"port": 1}]), "services[0].endpoints[0]: the field 'address' is missing; add it"),
        (
            one(limits={"maxHeld": "many"}),
            "services[0].limits.maxHeld: 'many' is not a whole number; write one such as 100",
        ),
        (one(limits={"maxHeld": 1.5}), "services[0].limits.maxHeld: 1.5 is not a whole number; write one"),
        (one(limits={"maxHeld": -1}), "services[0].limits.maxHeld: -1 is negative; write 0 or more"),
        (one(limits={"maxHeldBytes": -1}), "services[0].limits.maxHeldBytes: -1 is negative; write 0 or more"),
        (one(limits={"maxInFlight": 0}), "services[0].limits.maxInFlight: 0 is not larger than 0"),
        (one(limits={"maxRequestBytes": 0}), "services[0].limits.maxRequestBytes: 0 is not larger than 0"),
        (one(activationTimeoutSeconds=0), "services[0].activationTimeoutSeconds: 0 is not larger than 0"),
        (
            one(activationTimeoutSeconds=math.inf),
            "services[0].activationTimeoutSeconds: inf is not larger than 0 and",
        ),
        (
            one(activationTimeoutSeconds=math.nan),
            "services[0].activationTimeoutSeconds: nan is not larger than 0 and finite",
        ),
        (
            one(activationTimeoutSeconds="5m"),
            "services[0].activationTimeoutSeconds: '5m' is not a number; write one such as 300 or 0.5, without quotes or a unit",
        ),
        (
            one(activationTimeoutSeconds=True),
            "services[0].activationTimeoutSeconds: True is not a number; write one",
        ),
        (one(coldStart={"heartbeatIntervalSeconds": -3}), "services[0].coldStart.heartbeatIntervalSeconds: -3 is not"),
        (one(coldStart={"mode": "wait"}), "services[0].coldStart.mode: 'wait' is not known; use keepalive or reject"),
        (one(probe={"intervalSeconds": 0}), "services[0].probe.intervalSeconds: 0 is not larger than 0"),
        (one(probe={"timeoutSeconds": 0}), "services[0].probe.timeoutSeconds: 0 is not larger than 0"),
        (one(probe={"path": "health"}), "services[0].probe.path: 'health' is not a path; start it with /"),
        (one(probe={"path": "/a b"}), "services[0].probe.path: '/a b' is not a path"),
        (one(probe={"path": "/a\r\nX: y"}), "services[0].probe.path: '/a\\r\\nX: y' is not a path"),
        (one(timeouts={"firstByteSeconds": 0}), "services[0].timeouts.firstByteSeconds: 0 is not larger than 0"),
        (one(timeouts={"idleSeconds": 0}), "services[0].timeouts.idleSeconds: 0 is not larger than 0"),
        (
            one(endpoints=[{"address": "a", "port": 0}]),
            "services[0].endpoints[0].port: 0 is not a port; use 1 to 65535",
        ),
        (one(endpoints=[{"address": "a", "port": 65536}]), "services[0].endpoints[0].port: 65536 is not a port"),
        (one(endpoints=[{"address": "", "port": 1}]), "services[0].endpoints[0].address: '' is not a host; give"),
        (one(aliases="qwen"), "services[0].aliases: 'qwen' is not a list; write one"),
        (one(aliases=["a", 1]), "services[0].aliases[1]: 1 is not text; put it in quotes"),
        (one(aliases=[""]), "services[0].aliases[0]: '' is not a name; use visible characters or remove it"),
        (one(aliases=["a\n"]), "services[0].aliases[0]: 'a\\n' is not a name"),
        (one(hosts=[" a"]), "services[0].hosts[0]: ' a' is not a name"),
        (one(name=""), "services[0].name: '' is not a model name; use letters, digits and - . _ :"),
        (one(name="a/b"), "services[0].name: 'a/b' is not a model name; use letters"),
        (one(name="é"), "services[0].name: 'é' is not a model name; use letters"),
        (one(name="a\n"), "services[0].name: 'a\\n' is not a model name; use letters"),
        (one(aliases=["m"]), "services[0]: the model name 'm' is used by 'm' twice; rename one"),
        (
            {"services": [{"name": "a"}, {"name": "b", "aliases": ["a"]}]},
            "services[1]: the model name 'a' is used by 'a' and 'b'; rename one",
        ),
        (
            {"services": [{"name": "a", "hosts": ["x.org"]}, {"name": "b", "hosts": ["X.org"]}]},
            "services[1]: the host 'x.org' is used by 'a' and 'b'; rename one",
        ),
    ],
)
def test_errors_name_place_value_and_remedy(document: Any, expected: str) -> None:
    text = message(document)
    assert text.startswith(expected)
    assert "`" not in text
    assert "\n" not in text


def test_every_fault_is_named_at_once() -> None:
    document = {
        "services": [
            {"name": "a/b", "limits": {"maxHeld": -1, "maxInFlight": 0}},
            {"name": "ok"},
            {"nmae": "c", "probe": {"path": 1}},
            {"name": "d", "aliases": ["ok"], "hosts": ["x", "X"]},
        ]
    }
    assert message(document).splitlines() == [
        "services[0].name: 'a/b' is not a model name; use letters, digits and - . _ :",
        "services[0].limits.maxInFlight: 0 is not larger than 0 and finite; write such a number",
        "services[0].limits.maxHeld: -1 is negative; write 0 or more",
        "services[2]: the field 'nmae' is not known; did you mean 'name'?",
        "services[2]: the field 'name' is missing; add it",
        "services[2].probe.path: 1 is not text; put it in quotes",
        "services[3]: the model name 'ok' is used by 'ok' and 'd'; rename one",
        "services[3]: the host 'x' is used by 'd' twice; rename one",
    ]


def test_a_fault_knows_its_place() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_service({"name": "m", "endpoints": [{"address": "a", "port": 0}]})
    [fault] = caught.value.faults
    assert fault.path == ("endpoints", 0, "port")
    assert fault.below("services", 3).place == "services[3].endpoints[0].port"


def test_long_values_are_shown_in_part() -> None:
    assert len(message(one(aliases="x" * 1000))) < 200


names = st.sampled_from(
    ("name", "aliases", "hosts", "coldStart", "limits", "probe", "endpoints", "timeouts", "mode", "port", "path")
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names | st.integers(), inner, max_size=3),
    max_leaves=8,
)


@given(anything)
def test_any_entry_is_taken_or_explained(entry: Any) -> None:
    for document in ({"services": entry}, {"services": [entry]}, {"services": [{"name": "m", "limits": entry}]}):
        problems: tuple[str, ...] = ("a place: a fault; a remedy",)
        try:
            parse_services(document)
        except ConfigError as error:
            problems = error.problems
        assert problems
        assert all(": " in problem and "; " in problem for problem in problems)
