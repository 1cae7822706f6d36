"""The faults of a document: there are some exactly when msgspec refuses it."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from hearth_gateway.config import ServiceConfig
from hearth_gateway.errors import Fault
from hearth_gateway.schema import MAX_SHOWN, find_faults

FIELDS = [field.encode_name for field in msgspec.structs.fields(ServiceConfig)]
INNER = ["mode", "maxHeld", "path", "port", "address", "intervalSeconds", "idleSeconds", "bogus"]
scalars = st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text(max_size=5) | st.dates()
values = st.recursive(
    scalars | st.sampled_from(["keepalive", "reject"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.frozensets(scalars, max_size=2)
        | st.dictionaries(st.sampled_from(INNER) | st.integers(), inner, max_size=3)
    ),
    max_leaves=6,
)
entries = st.dictionaries(st.sampled_from(FIELDS), values, max_size=4) | values


@settings(max_examples=500)
@given(entries)
def test_there_are_faults_exactly_when_a_document_does_not_fit(entry: Any) -> None:
    try:
        msgspec.convert(entry, ServiceConfig)
    except msgspec.ValidationError:
        assert list(find_faults(entry, ServiceConfig))
    else:
        assert not list(find_faults(entry, ServiceConfig))


def test_every_fault_has_its_path() -> None:
    found = find_faults({"name": 7, "probe": {"pth": "/"}, "aliases": ["a", None]}, ServiceConfig)
    assert list(found) == [
        Fault(("name",), "7 is not text", "put it in quotes"),
        Fault(("aliases", 1), "None is not text", "put it in quotes"),
        Fault(("probe",), "the field 'pth' is not known", "did you mean 'path'?"),
    ]


def test_a_long_value_is_cut() -> None:
    [fault] = find_faults({"name": "m", "aliases": "x" * 1000}, ServiceConfig)
    assert len(fault.message) < MAX_SHOWN + 20
