from __future__ import annotations

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from hearth.api import Quantity, parse_quantity
from hearth.api.quantities import PATTERN

SUFFIXES = ["", "n", "u", "m", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti", "e3", "E-3", "e0", "e-12"]
texts = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", "-", "+"]),
    st.from_regex(r"\A([0-9]{1,6}(\.[0-9]{0,6})?|\.[0-9]{1,6})\Z"),
    st.sampled_from(SUFFIXES),
)


@pytest.mark.parametrize(
    ("text", "value", "canonical"),
    [
        ("0", 0, "0"),
        ("2", 2, "2"),
        ("500m", Decimal("0.5"), "500m"),
        ("0.5", Decimal("0.5"), "500m"),
        ("1000m", 1, "1"),
        ("1000", 1000, "1k"),
        ("1500", 1500, "1500"),
        ("1024Mi", 2**30, "1Gi"),
        ("1.5Gi", 3 * 2**29, "1536Mi"),
        ("50Gi", 50 * 2**30, "50Gi"),
        ("1023Ki", 1023 * 1024, "1023Ki"),
        ("0.5Ki", 512, "512"),
        ("0.1Gi", 107374183, "107374183"),  # bytes are whole, rounded away from zero
        ("1e3", 1000, "1e3"),
        ("12e2", 1200, "1200"),
        ("1E", 10**18, "1E"),
        ("1E2", 100, "100"),
        ("-1Ki", -1024, "-1Ki"),
        ("0.1n", Decimal("1e-9"), "1n"),  # nothing below a nano unit is kept
    ],
)
def test_amounts_and_canonical_forms_are_those_of_kubernetes(text: str, value: int | Decimal, canonical: str) -> None:
    quantity = parse_quantity(text)
    assert quantity.value == value
    assert str(quantity) == canonical


@pytest.mark.parametrize(
    "text", ["", "Gi", "1 Gi", "1gb", "1GB", "1K", "1ki", "1.2.3", "--1", "1e", "0x10", "1,5", "1Gi\n", "٣"]
)
def test_refuses_what_kubernetes_refuses(text: str) -> None:
    with pytest.raises(
        ValueError, match="is not a quantity; write a number with a Kubernetes suffix, such as 500m, 2 or 16Gi"
    ):
        parse_quantity(text)


def test_refuses_what_an_int64_cannot_hold() -> None:
    with pytest.raises(ValueError, match="too large a quantity; write at most 9223372036854775807"):
        parse_quantity("8Ei")


def test_bytes_are_whole() -> None:
    assert parse_quantity("1Gi").bytes == 2**30
    assert parse_quantity("100m").bytes == 1


def test_equal_amounts_are_equal() -> None:
    assert parse_quantity("1Gi") == parse_quantity("1024Mi")
    assert parse_quantity("1k") == parse_quantity("1e3") == parse_quantity(1000)
    assert hash(parse_quantity("1Gi")) == hash(parse_quantity("1024Mi"))


@given(texts)
def test_the_canonical_form_is_a_fixed_point(text: str) -> None:
    quantity = parse_quantity(text)
    canonical = str(quantity)
    assert parse_quantity(canonical) == quantity
    assert str(parse_quantity(canonical)) == canonical
    assert "." not in canonical
    assert re.fullmatch(PATTERN, canonical)


@given(st.text(max_size=12) | texts)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_quantity(text)
    except ValueError:
        return
    assert re.fullmatch(PATTERN, text)


def test_models_read_text_and_whole_numbers_and_write_text() -> None:
    adapter = TypeAdapter(Quantity)
    assert adapter.validate_python(2) == adapter.validate_python("2")
    assert adapter.dump_python(adapter.validate_python("1024Mi")) == "1Gi"
