"""Responses byte by byte: what the writer sends for each course that an exchange can take."""

from __future__ import annotations

from http.client import HTTPResponse
from io import BytesIO

from hypothesis import given
from hypothesis import strategies as st

from hearth_gateway.http.response_writer import failure_response
from hearth_gateway.policy.failure import Failure

texts = st.text(st.characters(exclude_categories=()), max_size=50)  # with surrogates: engines quote what users sent
statuses = st.sampled_from((400, 404, 405, 408, 413, 429, 431, 501, 502, 503, 504))


class _Socket:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _mode: str) -> BytesIO:
        return BytesIO(self._data)


def parse(data: bytes) -> tuple[HTTPResponse, bytes]:
    response = HTTPResponse(_Socket(data))  # type: ignore[arg-type]
    response.begin()
    return response, response.read()


@given(statuses, texts, st.none() | st.integers(1, 55), st.none() | st.just("GET, HEAD"), st.booleans())
def test_a_refusal_is_http(status: int, message: str, wait: int | None, allow: str | None, close: bool) -> None:
    failure = Failure(status, "queue_full", message, retry_after=wait, allow=allow)
    response, body = parse(failure_response(failure, close=close))
    assert response.status == status
    assert response.reason
    assert body == failure.body()
    assert response.getheader("X-Hearth-Reason") == "queue_full"
    assert response.getheader("Retry-After") == (None if wait is None else str(wait))
    assert response.getheader("Allow") == allow
    assert response.getheader("Connection") == ("close" if close else None)
    assert response.getheader("Content-Type") == "application/json"
