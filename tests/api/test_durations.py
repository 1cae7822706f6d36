from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from hearth.api import Duration, format_duration, parse_duration
from hearth.api.durations import PATTERN

LIMIT = 2**63 - 1
durations = st.builds(Duration, st.integers(-LIMIT, LIMIT) | st.integers(-(10**6), 10**6))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10),
        ("1m30s", 90),
        ("1.5h", 5400),
        ("0", 0),
        ("-0", 0),
        ("+5s", 5),
        ("-1.5m", -90),
        ("2us", 2e-6),
        ("2µs", 2e-6),
        ("2μs", 2e-6),
        ("500ms", 0.5),
        (".5s", 0.5),
        ("1.s", 1),
        ("7ns", 7e-9),
        ("1h1h", 7200),
        ("1s1h", 3601),
        ("00010s", 10),
    ],
)
def test_reads_what_go_reads(text: str, seconds: float) -> None:
    assert parse_duration(text).seconds == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10",
        "s",
        ".s",
        "-",
        "1 s",
        " 1s",
        "1s ",
        "1S",
        "1d",
        "1m 30s",
        "1e3s",
        "1..5s",
        "--1s",
        "1s\n",
        "٣s",
        "0x1s",
    ],
)
def test_refuses_what_go_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration; write a number with a unit, such as 10s, 1m30s or 500ms"):
        parse_duration(text)


def test_refuses_what_an_int64_of_nanoseconds_cannot_hold() -> None:
    assert parse_duration("9223372036854775807ns").nanoseconds == LIMIT
    with pytest.raises(ValueError, match="too long a duration; the limit is about 292 years"):
        parse_duration("9223372036854775808ns")
    with pytest.raises(ValueError, match="292 years"):
        Duration(LIMIT + 1)


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1_100, "1.1µs"),
        (2_200_000, "2.2ms"),
        (3_300_000_000, "3.3s"),
        (300_000_000_000, "5m0s"),
        (245_001_000_000, "4m5.001s"),
        (3_600_000_000_000, "1h0m0s"),
        (18_367_001_000_000, "5h6m7.001s"),
        (-90_000_000_000, "-1m30s"),
    ],
)
def test_writes_what_go_writes(nanoseconds: int, text: str) -> None:
    assert str(Duration(nanoseconds)) == text


def test_plain_numbers_count_seconds() -> None:
    assert format_duration(90) == "1m30s"
    assert format_duration(0.25) == "250ms"
    assert Duration.from_seconds(1.5) == parse_duration("1.5s")


@given(durations)
def test_what_is_written_reads_back(duration: Duration) -> None:
    text = format_duration(duration)
    assert parse_duration(text) == duration
    assert re.search(PATTERN, text)


@given(durations, durations)
def test_order_is_that_of_time(one: Duration, other: Duration) -> None:
    assert (one < other) == (one.nanoseconds < other.nanoseconds)


@given(st.text(max_size=20) | st.from_regex(r"[-+]?[0-9.]{0,4}(ns|us|ms|s|m|h|d)?\Z"))
def test_any_text_is_read_or_refused_and_the_schema_agrees(text: str) -> None:
    try:
        parse_duration(text)
    except ValueError:
        assert re.fullmatch(PATTERN, text) is None
    else:
        assert re.fullmatch(PATTERN, text)


def test_models_read_and_write_text() -> None:
    adapter = TypeAdapter(Duration)
    duration = adapter.validate_python("90s")
    assert duration == Duration.from_seconds(90)
    assert adapter.validate_python(duration) is duration
    assert adapter.dump_python(duration) == "1m30s"
    assert adapter.dump_json(duration) == b'"1m30s"'
