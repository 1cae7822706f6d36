"""What is read of a body agrees with what the backend will read; what is renamed changes nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hearth_gateway.http.body import BadBody, read_form, read_json, rename_form_model, rename_model

texts = st.text(max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)
keys = st.sampled_from(("model", "stream", "messages", "Model", "")) | texts


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """Draw a JSON object with duplicates, escapes and blanks wherever they may be."""
    blank = st.sampled_from(("", " ", "\n", "\t \r\n"))
    members = []
    for key in draw(st.lists(keys, max_size=6)):
        name = json.dumps(key)
        if draw(st.booleans()):
            name = '"' + "".join(f"\\u{ord(c):04x}" if ord(c) < 0x10000 else c for c in key) + '"'
        value = json.dumps(draw(values), ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from((None, 1))))
        members.append(f"{draw(blank)}{name}{draw(blank)}:{draw(blank)}{value}{draw(blank)}")
    return f"{draw(blank)}{{{draw(blank)}{','.join(members)}}}{draw(blank)}".encode()


def same(left: Any, right: Any) -> bool:
    return json.dumps(left) == json.dumps(right)


@settings(max_examples=60)
@given(documents())
def test_fields_are_what_json_says(body: bytes) -> None:
    fields, document = read_json(body), json.loads(body)
    assert same(fields.model, document.get("model"))
    assert same(fields.stream, document.get("stream"))


@settings(max_examples=60)
@given(documents(), texts.filter(bool))
def test_renaming_changes_the_model_only(body: bytes, name: str) -> None:
    renamed = rename_model(body, name)
    assert list(json.loads(renamed).items()) == list((json.loads(body) | {"model": name}).items())
    assert read_json(renamed).model == name
    assert rename_model(renamed, name) == renamed


def test_renaming_keeps_the_bytes_of_the_other_members() -> None:
    body = b'{"seed": 1.50E+3, "model": "a", "n":1e999, "t": "\\u00e9\xc3\xa9\xff", "o": { "a" : [1,  2] }}'
    assert (
        rename_model(body, "b")
        == b'{"seed":1.50E+3,"model":"b","n":1e999,"t":"\\u00e9\xc3\xa9\xff","o":{ "a" : [1,  2] }}'
    )


@given(
    st.binary(max_size=60)
    | values.map(lambda value: json.dumps(value).encode())
    | documents().map(lambda body: body[:-1])
)
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    try:
        document = json.loads(body.decode())
    except ValueError:
        document = None
    for read in (read_json, lambda body: rename_model(body, "m")):
        why = refusal(read, body)
        if why is None:
            # Bytes that are no UTF-8 pass in members that are not read here; the backend judges them.
            assert isinstance(document, dict) or not is_utf8(body)
        else:
            assert why
            assert "`" not in why


def refusal(read: Callable[[bytes], object], body: bytes) -> str | None:
    try:
        read(body)
    except BadBody as error:
        return str(error)
    return None


def is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b'"{}"',
        b"1",
        b"{",
        b"{}{}",
        b"{} x",
        b"{'model': 'a'}",
        b'{"model": "a",}',
        b'{"model": NaN}',
        b'{"model": 01}',
        b'{"x": "\x01"}',
        b'{"model": "\xff"}',
        b'{"model": "\\ud800 alone"}',
        b'{"model": 1e400}',
        b'{"model": ' + b"1" * 6000 + b"}",
        b'\xef\xbb\xbf{"model": "a"}',  # a byte order mark: RFC 8259 8.1 forbids sending one
        '{"model": "a"}'.encode("utf-16"),
        b"\x00{}",
        b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"x": ' + b'{"x":' * 100_000 + b"1" + b"}" * 100_001,
        b'{"model": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_garbage(body: bytes) -> None:
    with pytest.raises(BadBody) as caught:
        read_json(body)
    assert 0 < len(str(caught.value)) < 200


def test_numbers_of_any_size_pass_where_nobody_reads_them() -> None:
    body = b'{"seed": ' + b"9" * 6000 + b', "t": 1e999, "model": "a"}'
    assert read_json(body).model == "a"
    assert b"9" * 6000 in rename_model(body, "b")


def test_the_last_of_two_models_counts_as_it_does_for_the_backend() -> None:
    body = b'{"model": "a", "mod\\u0065l": "b"}'
    assert read_json(body).model == json.loads(body)["model"] == "b"
    assert json.loads(rename_model(body, "c")) == {"model": "c"}


def test_a_depth_that_people_use_is_read() -> None:
    body = b'{"x": ' + b"[" * 100 + b"]" * 100 + b', "model": "a"}'
    assert read_json(body).model == "a"


# ---------------------------------------------------------------- forms


def form(*parts: tuple[str, bytes], boundary: bytes = b"----x") -> bytes:
    body = b""
    for head, value in parts:
        body += (
            b"--" + boundary + b"\r\nContent-Disposition: form-data; " + head.encode() + b"\r\n\r\n" + value + b"\r\n"
        )
    return body + b"--" + boundary + b"--\r\n"


AUDIO = ('name="file"; filename="a.wav"\r\nContent-Type: audio/wav', b"RIFF\r\n\x00\xffmodel\r\n\r\n")


@pytest.mark.parametrize(
    ("parts", "model", "stream"),
    [
        ([], None, False),
        ([AUDIO], None, False),
        ([('name="model"', b"whisper"), AUDIO], "whisper", False),
        ([AUDIO, ('name="stream"', b"True"), ('name="model"', b"org/whisper")], "org/whisper", True),
        ([("name=model", b"whisper"), ("name=stream", b"false")], "whisper", False),
        ([('name="model"\r\nContent-Type: text/plain', b"whisper")], "whisper", False),
        ([('name="model"', b"")], "", False),
        ([('name="model"', b"a"), ('name="model"', b"b")], "b", False),
        ([('name="model_x"', b"a"), ('name="x"; filename="model"', b"b")], None, False),
        ([('name="model"', b"x" * 1000)], None, False),
    ],
)
def test_form_fields(parts: list[tuple[str, bytes]], model: str | None, stream: bool) -> None:
    fields = read_form(form(*parts))
    assert (fields.model, fields.stream) == (model, stream)


@given(st.binary(max_size=200))
def test_any_bytes_may_be_a_form(body: bytes) -> None:
    read_form(body)
    assert rename_form_model(body, "m") == body or b"ontent-" in body


@given(
    st.lists(
        st.sampled_from((AUDIO, ('name="model"', b"a"), ('name="language"', b"en"), ('name="model"', b"b"))), max_size=5
    )
)
def test_renaming_in_a_form_changes_the_model_only(parts: list[tuple[str, bytes]]) -> None:
    renamed = rename_form_model(form(*parts), "whisper-large")
    assert renamed == form(*((head, b"whisper-large" if head == 'name="model"' else value) for head, value in parts))
