"""Answers of the API server, as errors that say whether a retry can help."""

from __future__ import annotations

from typing import Any

import pytest

from hearth.operator.kubernetes.errors import (
    ApiError,
    Conflict,
    Forbidden,
    InternalError,
    Invalid,
    NamespaceGoing,
    NotFound,
    NotServed,
    Unavailable,
    refusal,
)

TERMINATING = {"causes": [{"reason": "NamespaceTerminating"}]}


@pytest.mark.parametrize(
    ("status", "body", "error", "retriable", "passing"),
    [
        (404, {"details": {"name": "m"}}, NotFound, True, False),
        (404, "404 page not found", NotServed, True, False),
        (409, {"message": "changed"}, Conflict, True, True),
        (403, {"message": "quota"}, Forbidden, True, False),
        (403, {"details": TERMINATING}, NamespaceGoing, False, False),
        (422, {"message": "spec.replicas"}, Invalid, False, False),
        (500, {"message": "failed to create typed patch object"}, Invalid, False, False),
        (500, {"message": "etcdserver: leader changed"}, InternalError, True, True),
        (401, {"message": "Unauthorized"}, Unavailable, True, True),
        (429, None, Unavailable, True, True),
        (503, "", Unavailable, True, True),
    ],
)
def test_every_answer_is_one_kind_of_error(
    status: int, body: Any, error: type[ApiError], retriable: bool, passing: bool
) -> None:
    found = refusal(status, body, "PATCH /x")
    assert type(found) is error
    assert (found.retriable, found.passing) == (retriable, passing)
    assert str(found).startswith("PATCH /x: ")


def test_an_answer_is_cut_where_it_is_endless() -> None:
    assert len(str(refusal(503, "e" * 10_000, "GET /x"))) < 1100
