"""The shape of every refusal: vLLM's error document, and a Retry-After that clients obey."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth_gateway.policy.failure import Failure, retry_after

texts = st.text(st.characters(exclude_categories=()), max_size=50)  # with surrogates: engines quote what users sent
statuses = st.sampled_from((400, 404, 405, 408, 413, 429, 431, 501, 502, 503, 504))


@given(statuses, texts, st.none() | texts)
def test_body_is_an_openai_error_on_one_line(status: int, message: str, param: str | None) -> None:
    body = Failure(status, "reason", message, param=param).body()
    error = json.loads(body.decode())["error"]
    assert list(error) == ["message", "type", "param", "code"]
    assert error["message"] == message.encode(errors="replace").decode()
    assert error["code"] == status
    assert error["type"].endswith("Error")
    assert b"\n" not in body
    assert b"\r" not in body


@pytest.mark.parametrize("status", range(400, 600))
def test_every_error_status_has_a_type(status: int) -> None:
    assert json.loads(Failure(status, "r", "m").body())["error"]["type"]


@given(st.floats(allow_nan=False))
def test_retry_after_is_what_clients_obey(seconds: float) -> None:
    assert 1 <= retry_after(seconds) <= 55


@pytest.mark.parametrize(
    ("seconds", "expected"), [(-1, 1), (0, 1), (0.4, 1), (29.6, 30), (55, 55), (1e9, 55), (math.inf, 55)]
)
def test_retry_after_is_the_estimate_within_bounds(seconds: float, expected: int) -> None:
    assert retry_after(seconds) == expected
