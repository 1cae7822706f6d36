"""The services file: what is in it, and why one cannot be used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hearth_gateway import ConfigError, ServiceConfig, load_services

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


def test_json_is_yaml(tmp_path: Path) -> None:
    path = tmp_path / "services.json"
    path.write_text(json.dumps({"services": [{"name": "m", "activationTimeoutSeconds": 1}]}))
    assert load_services(path)[0].activation_timeout_seconds == 1


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", " it is empty; write a mapping with the key 'services'"),
        (b"- a", " found a list; write a mapping"),
        (b"services: [", "1: not YAML: "),
        (b"services: \x00", " not YAML: "),
        (b"services:\n- !!python/object:os.system x", "2: not YAML: could not determine a constructor"),
        (b"services: 2026-13-45", " not YAML: "),
        (b"services: " + b"[" * 600, " not YAML: "),
        (b"services: \xff", " not UTF-8 text (invalid start byte at byte 10); save it as UTF-8"),
        (b"services: [{name: a, bogus: 1}]", " services[0]: the field 'bogus' is not known"),
        (b"services: 2026-11-01", " services: datetime.date(2026, 11, 1) is not a list"),
        (b"x: " + b"a" * (4 << 20), " larger than 4194304 bytes; split the services"),
        (
            b"services:\n- name: a\n  limits: {maxHeld: 1,\n    maxHeld: 2}",
            "4: the key 'maxHeld' is there twice; remove one",
        ),
        (b"services: []\nservices: []", "2: the key 'services' is there twice; remove one"),
    ],
)
def test_errors_of_a_file_name_it(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "services.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_services(path)
    assert str(caught.value).startswith(f"{path}:{expected}")
    assert "\n" not in str(caught.value)


def test_every_mistake_of_a_file_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "services.yaml"
    path.write_text("services:\n- {name: a, name: b}\n- name: c\n  bogus: 1\n- {name: d, limits: {}, limits: {}}\n")
    with pytest.raises(ConfigError) as caught:
        load_services(path)
    twice_a, twice_d, unknown = caught.value.problems
    assert twice_a == f"{path}:2: the key 'name' is there twice; remove one"
    assert twice_d == f"{path}:5: the key 'limits' is there twice; remove one"
    assert unknown.startswith(f"{path}: services[1]: the field 'bogus' is not known")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.yaml", tmp_path):
        with pytest.raises(ConfigError) as caught:
            load_services(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert str(caught.value).endswith("; give the path of a services file")


def test_a_merged_key_is_no_duplicate(tmp_path: Path) -> None:
    path = tmp_path / "services.yaml"
    path.write_text("""
services:
- {name: a, limits: &base {maxHeld: 1, maxInFlight: 2}}
- {name: b, limits: &more {<<: *base, maxHeld: 3}}
- {name: c, limits: {<<: *more, maxInFlight: 4}}
""")
    assert [(each.limits.max_held, each.limits.max_in_flight) for each in load_services(path)] == [
        (1, 2),
        (3, 2),
        (3, 4),
    ]
