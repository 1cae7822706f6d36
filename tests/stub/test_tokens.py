from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vllm_stub import tokens


@given(st.text())
def test_decode_inverts_encode(text: str) -> None:
    assert tokens.decode(tokens.encode(text)) == text


@given(st.text())
def test_count_is_the_number_of_ids(text: str) -> None:
    assert tokens.count(text) == len(tokens.encode(text))


def test_answers_are_numbered() -> None:
    assert "".join(tokens.output(index) for index in range(4)) == "Hello 1 2 3"
