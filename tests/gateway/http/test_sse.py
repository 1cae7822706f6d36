"""What is written into held streams: comments that no client takes for data, errors that every client understands."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth_gateway.http.chunked import ChunkDecoder
from hearth_gateway.http.sse import (
    LAST_CHUNK,
    MAX_COMMENT,
    Flavor,
    chunk,
    comment,
    error_event,
    error_event_from,
    late_error,
)
from hearth_gateway.policy.failure import Failure

texts = st.text(st.characters(exclude_categories=()), max_size=80)
flavors: list[Flavor] = ["openai", "responses", "anthropic"]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
error_documents = st.fixed_dictionaries(
    {},
    optional={
        "error": json_values
        | st.fixed_dictionaries({"message": texts}, optional={"type": json_values, "param": json_values}),
        "detail": json_values,
    },
)


def read_event(data: bytes) -> tuple[str | None, dict[str, object]]:
    """One event, as the standard reads it."""
    assert data.endswith(b"\n\n")
    lines = re.split(r"\r\n|\r|\n", data.decode())
    assert lines[-2:] == ["", ""]
    name, payload = None, []
    for line in lines[:-2]:
        assert line, "more than one event"
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        else:
            assert field == "data"
            payload.append(value)
    document = json.loads("\n".join(payload), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert isinstance(document, dict)
    return name, document


@given(st.binary(min_size=1, max_size=5000))
def test_chunks_are_read_back(data: bytes) -> None:
    decoder = ChunkDecoder()
    assert decoder.feed(chunk(data) + LAST_CHUNK) == data
    assert decoder.done


@given(texts | st.text(max_size=1000))
def test_a_comment_is_one_line_whatever_it_holds(text: str) -> None:
    line = comment(text)
    assert line.startswith(b": ")
    assert line.endswith(b"\n")
    assert b"\n" not in line[:-1]
    assert b"\r" not in line
    assert len(line.decode()) <= MAX_COMMENT + 3


@pytest.mark.parametrize("flavor", flavors)
@given(message=texts)
def test_error_events_are_what_their_clients_expect(flavor: Flavor, message: str) -> None:
    name, document = read_event(error_event(Failure(503, "activation_timeout", message), flavor))
    message = message.encode(errors="replace").decode()
    error = document["error"]
    assert isinstance(error, dict)
    assert error == {"message": message, "type": "ServiceUnavailableError", "param": None, "code": 503}
    if flavor == "openai":
        assert (name, list(document)) == (None, ["error"])
    else:
        assert (name, document["type"]) == ("error", "error")
    if flavor == "responses":
        assert (document["code"], document["message"], document["param"]) == ("503", message, None)


@pytest.mark.parametrize("flavor", flavors)
@given(
    status=st.integers(200, 599), body=st.binary(max_size=200) | error_documents.map(lambda d: json.dumps(d).encode())
)
def test_any_answer_of_an_engine_becomes_one_error_event(flavor: Flavor, status: int, body: bytes) -> None:
    _, document = read_event(error_event_from(late_error(status, body), flavor))
    error = document["error"]
    assert isinstance(error, dict)
    assert list(error) == ["message", "type", "param", "code"]
    assert isinstance(error["message"], str)
    assert isinstance(error["type"], str)
    assert isinstance(error["param"], str | None)
    assert error["code"] == (status if status >= 400 else 502)


@pytest.mark.parametrize(
    ("body", "message", "kind"),
    [
        (
            b'{"error": {"message": "too long", "type": "BadRequestError", "param": "input", "code": 400}}',
            "too long",
            "BadRequestError",
        ),
        (b'{"error": "Unauthorized"}', "Unauthorized", "BadRequestError"),
        (b'{"detail": "Not Found"}', "Not Found", "BadRequestError"),
        (b"Internal Server Error", "Internal Server Error", "BadRequestError"),
        (b"", "the backend answered with status 400 and no body", "BadRequestError"),
        (b"[" * 60_000, "[" * 2000, "BadRequestError"),
        (b'{"error": {"message": "x\\ud800", "type": NaN, "param": [1]}}', "x?", "BadRequestError"),
    ],
)
def test_the_engines_own_words_are_kept(body: bytes, message: str, kind: str) -> None:
    error = json.loads(late_error(400, body))["error"]
    assert (error["message"], error["type"], error["code"]) == (message, kind, 400)


def test_an_answer_that_is_no_stream_is_an_error_even_with_200() -> None:
    assert json.loads(late_error(200, b'{"ok": true}'))["error"]["code"] == 502
