"""The services format and the catalogue of its errors: each names the place, the value and the remedy."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth_gateway import ConfigError, ServiceConfig, load_services, parse_service, parse_services

WHOLE = """
services:
- name: qwen3-8b
  namespace: ai
  aliases: [qwen, org/qwen]
  hosts: [qwen.example.org]
  coldStart: {mode: reject, heartbeatIntervalSeconds: 5}
  activationTimeoutSeconds: 120
  limits: {maxHeld: 7, maxHeldBytes: 8, maxInFlight: 9, maxRequestBytes: 10}
  probe: {path: /ping, intervalSeconds: 0.5, timeoutSeconds: 2}
  timeouts: {firstByteSeconds: 30, idleSeconds: 40}
  endpoints: [{address: 127.0.0.1, port: 9001}]
- name: small
"""


def one(**fields: Any) -> dict[str, Any]:
    return {"services": [{"name": "m", **fields}]}


def message(document: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_services(document)
    return str(caught.value)


def test_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "services.yaml"
    path.write_text(WHOLE)
    whole, small = load_services(path)
    assert (whole.name, whole.namespace, whole.aliases) == ("qwen3-8b", "ai", ("qwen", "org/qwen"))
    assert whole.hosts == ("qwen.example.org",)
    assert (whole.cold_start.mode, whole.cold_start.heartbeat_interval_seconds) == ("reject", 5)
    assert whole.activation_timeout_seconds == 120
    limits = whole.limits
    assert (limits.max_held, limits.max_held_bytes, limits.max_in_flight, limits.max_request_bytes) == (7, 8, 9, 10)
    assert (whole.probe.path, whole.probe.interval_seconds, whole.probe.timeout_seconds) == ("/ping", 0.5, 2)
    assert (whole.timeouts.first_byte_seconds, whole.timeouts.idle_seconds) == (30, 40)
    assert [(endpoint.address, endpoint.port) for endpoint in whole.endpoints] == [("127.0.0.1", 9001)]
    assert small == ServiceConfig(name="small")


def test_defaults_are_those_of_the_reference() -> None:
    config = parse_service({"name": "m"})
    assert (config.namespace, config.aliases, config.hosts, config.endpoints) == ("default", (), (), ())
    assert (config.cold_start.mode, config.cold_start.heartbeat_interval_seconds) == ("keepalive", 10)
    assert config.activation_timeout_seconds == 300
    limits = config.limits
    assert (limits.max_held, limits.max_held_bytes, limits.max_in_flight) == (100, 64 << 20, 1024)
    assert limits.max_request_bytes == 32 << 20
    assert (config.probe.path, config.probe.interval_seconds, config.probe.timeout_seconds) == ("/health", 0.1, 1)


def test_json_is_yaml(tmp_path: Path) -> None:
    path = tmp_path / "services.json"
    path.write_text(json.dumps(one(activationTimeoutSeconds=1)))
    assert load_services(path)[0].activation_timeout_seconds == 1


def test_no_services_is_a_table_too() -> None:
    assert parse_services({"services": []}) == parse_services({}) == ()


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"servces": []}, "the document: the field 'servces' is not known; did you mean 'services'?"),
        ({"services": [{}]}, "services[0]: the field 'name' is missing; add it"),
        ({"services": None}, "services: None is not valid; expected 'array', got 'null'"),
        ({"services": [{"name": "a"}, 5]}, "services[1]: 5 is not valid; expected 'object', got 'int'"),
        (one(maxHeld=1), "services[0]: the field 'maxHeld' is not known; known are name, namespace, aliases, "),
        (one(coldstart={}), "services[0]: the field 'coldstart' is not known; did you mean 'coldStart'?"),
        (one(limits={"maxheld": 1}), "services[0].limits: the field 'maxheld' is not known; did you mean 'maxHeld'?"),
        (one(probe={"port": 1}), "services[0].probe: the field 'port' is not known; known are path, "),
        (one(endpoints=[{"port": 1}]), "services[0].endpoints[0]: the field 'address' is missing; add it"),
        (one(limits={"maxHeld": "many"}), "services[0].limits.maxHeld: 'many' is not valid; expected 'int', got 'str'"),
        (one(limits={"maxHeld": 1.5}), "services[0].limits.maxHeld: 1.5 is not valid; expected 'int', got 'float'"),
        (one(limits={"maxHeld": -1}), "services[0].limits.maxHeld: -1 must not be negative"),
        (one(limits={"maxHeldBytes": -1}), "services[0].limits.maxHeldBytes: -1 must not be negative"),
        (one(limits={"maxInFlight": 0}), "services[0].limits.maxInFlight: 0 must be larger than 0"),
        (one(limits={"maxRequestBytes": 0}), "services[0].limits.maxRequestBytes: 0 must be larger than 0"),
        (one(activationTimeoutSeconds=0), "services[0].activationTimeoutSeconds: 0 must be larger than 0"),
        (one(activationTimeoutSeconds=math.inf), "services[0].activationTimeoutSeconds: inf must be larger than 0 and"),
        (one(activationTimeoutSeconds=math.nan), "services[0].activationTimeoutSeconds: nan must be larger than 0 and"),
        (
            one(activationTimeoutSeconds="5m"),
            "services[0].activationTimeoutSeconds: '5m' is not valid; expected 'float'",
        ),
        (
            one(activationTimeoutSeconds=True),
            "services[0].activationTimeoutSeconds: True is not valid; expected 'float'",
        ),
        (one(coldStart={"heartbeatIntervalSeconds": -3}), "services[0].coldStart.heartbeatIntervalSeconds: -3 must be"),
        (one(coldStart={"mode": "wait"}), "services[0].coldStart.mode: 'wait' is not known; use keepalive or reject"),
        (one(probe={"intervalSeconds": 0}), "services[0].probe.intervalSeconds: 0 must be larger than 0"),
        (one(probe={"timeoutSeconds": 0}), "services[0].probe.timeoutSeconds: 0 must be larger than 0"),
        (one(probe={"path": "health"}), "services[0].probe.path: 'health' is not a path; start it with /"),
        (one(probe={"path": "/a b"}), "services[0].probe.path: '/a b' is not a path"),
        (one(probe={"path": "/a\r\nX: y"}), "services[0].probe.path: '/a\\r\\nX: y' is not a path"),
        (one(timeouts={"firstByteSeconds": 0}), "services[0].timeouts.firstByteSeconds: 0 must be larger than 0"),
        (one(timeouts={"idleSeconds": 0}), "services[0].timeouts.idleSeconds: 0 must be larger than 0"),
        (
            one(endpoints=[{"address": "a", "port": 0}]),
            "services[0].endpoints[0].port: 0 is not a port; use 1 to 65535",
        ),
        (one(endpoints=[{"address": "a", "port": 65536}]), "services[0].endpoints[0].port: 65536 is not a port"),
        (one(endpoints=[{"address": "", "port": 1}]), "services[0].endpoints[0].address: '' is not a host; give"),
        (one(aliases="qwen"), "services[0].aliases: 'qwen' is not valid; expected 'array', got 'str'"),
        (one(aliases=["a", 1]), "services[0].aliases[1]: 1 is not valid; expected 'str', got 'int'"),
        (one(aliases=[""]), "services[0].aliases[0]: '' is not a name; use visible characters or remove it"),
        (one(aliases=["a\n"]), "services[0].aliases[0]: 'a\\n' is not a name"),
        (one(hosts=[" a"]), "services[0].hosts[0]: ' a' is not a name"),
        (one(name=""), "services[0].name: '' is not a model name; use letters, digits and - . _ :"),
        (one(name="a/b"), "services[0].name: 'a/b' is not a model name; use letters"),
        (one(name="é"), "services[0].name: 'é' is not a model name; use letters"),
        (one(name="a\n"), "services[0].name: 'a\\n' is not a model name; use letters"),
        (one(aliases=["m"]), "services: the model name 'm' is used by 'm' twice; rename one"),
        (
            {"services": [{"name": "a"}, {"name": "b", "aliases": ["a"]}]},
            "services: the model name 'a' is used by 'a' and 'b'; rename one",
        ),
        (
            {"services": [{"name": "a", "hosts": ["x.org"]}, {"name": "b", "hosts": ["X.org"]}]},
            "services: the host 'x.org' is used by 'a' and 'b'; rename one",
        ),
    ],
)
def test_errors_name_place_value_and_remedy(document: Any, expected: str) -> None:
    text = message(document)
    assert text.startswith(expected)
    assert "`" not in text
    assert "\n" not in text


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
        try:
            parse_services(document)
        except ConfigError as error:
            text = str(error)
        else:
            continue
        assert ":" in text or ";" in text, text


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "it is empty; write a mapping with the key 'services'"),
        (b"- a", "found a list; write a mapping"),
        (b"services: [", "not YAML: "),
        (b"services: \x00", "not YAML: "),
        (b"services: !!python/object:os.system x", "not YAML: "),
        (b"services: 2026-13-45", "not YAML: "),
        (b"services: " + b"[" * 600, "not YAML: "),
        (b"services: \xff", "not UTF-8 text (invalid start byte at byte 10); save it as UTF-8"),
        (b"services: [{name: a, bogus: 1}]", "services[0]: the field 'bogus' is not known"),
        (b"services: 2026-11-01", "services: datetime.date(2026, 11, 1) is not valid"),
        (b"x: " + b"a" * (4 << 20), "larger than 4194304 bytes; split the services"),
    ],
)
def test_errors_of_a_file_name_it(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "services.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_services(path)
    assert str(caught.value).startswith(f"{path}: {expected}")
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.yaml", tmp_path):
        with pytest.raises(ConfigError) as caught:
            load_services(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert str(caught.value).endswith("; give the path of a services file")
