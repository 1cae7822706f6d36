"""Every path that vLLM serves, classified on purpose: what wakes, what passes, what is answered here, what is not there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth_gateway.http.local_routes import LocalRoute
from hearth_gateway.http.routes import ROUTES, Route, find_route

WAKES = """
/v1/chat/completions /v1/chat/completions/batch /v1/completions /v1/responses /v1/messages /v1/messages/count_tokens
/v1/embeddings /v2/embed /pooling /classify /score /v1/score /rerank /v1/rerank /v2/rerank
/v1/audio/transcriptions /v1/audio/translations /tokenize /detokenize /invocations /generative_scoring /v1/systemone /v1/decisions
"""
PASSES = """
/version /load /tokenizer_info /v1/load_lora_adapter /v1/unload_lora_adapter /v1/responses/resp_1 /v1/responses/resp_1/cancel
"""
LOCAL = "/v1/models /v1/models/m /v1/models/org/m /health /healthz /readyz /ping /metrics /hearth/queue"
# Developer mode, profiling, scaling and topology are an operator's business, at the pod and not through the door for clients;
# documents of the engine's own routes would promise paths that are not here; /v1/realtime is a websocket.
ABSENT = """
/sleep /wake_up /is_sleeping /release_kv_cache_memory /reset_prefix_cache /reset_mm_cache /reset_encoder_cache /collective_rpc
/server_info /pause /resume /is_paused /abort_requests /init_weight_transfer_engine /update_weights
/scale_elastic_ep /is_scaling_elastic_ep /fault_tolerance/x /start_profile /stop_profile /kv_event_sources
/docs /docs/oauth2-redirect /redoc /openapi.json /v1/realtime /ready
/ /v1 /v1/ /v1/models/ /v1/responses/ /v1/responses//cancel /v1/responses/a/b /v1/responses/a/cancel/ /v1/chat/completions/
/V1/chat/completions //v1/chat/completions /v1//chat/completions /v1/chat/completions? /v1/chat/completions%20
/hearth /hearth/queue/
"""

STREAMS = {"/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"}
FORMS = {"/v1/audio/transcriptions", "/v1/audio/translations"}


def find(path: str) -> Route:
    route = find_route(path.encode())
    assert isinstance(route, Route), path
    return route


@pytest.mark.parametrize("path", WAKES.split())
def test_inference_wakes(path: str) -> None:
    route = find(path)
    assert route.wakes
    assert route.methods == (b"POST",)
    assert route.streams == (path in STREAMS)
    assert route.form == (path in FORMS)
    assert route.flavor == {
        "/v1/responses": "responses",
        "/v1/messages": "anthropic",
        "/v1/messages/count_tokens": "anthropic",
    }.get(path, "openai")


@pytest.mark.parametrize("path", PASSES.split())
def test_the_rest_of_the_engine_never_wakes(path: str) -> None:
    route = find(path)
    assert not route.wakes
    posts = path.endswith(("adapter", "cancel"))
    assert route.methods == ((b"POST",) if posts else (b"GET", b"HEAD"))


@pytest.mark.parametrize("path", LOCAL.split())
def test_what_is_answered_here(path: str) -> None:
    route = find_route(path.encode())
    assert isinstance(route, LocalRoute)
    assert {b"GET", b"HEAD"} <= set(route.methods)
    assert (b"POST" in route.methods) == (path == "/ping")


@pytest.mark.parametrize("path", ABSENT.split())
def test_what_is_not_there(path: str) -> None:
    assert find_route(path.encode()) is None


def test_no_route_is_left_out_of_the_lists_above() -> None:
    assert {path.decode() for path in ROUTES} <= set(f"{WAKES} {PASSES} {LOCAL}".split())


def paths(row: str) -> Iterator[str]:
    """Return the paths of a row of docs/gateway.md; one in parentheses continues the path before it."""
    path = ""
    for continues, text in re.findall(r"(\(?)`(/[^`]*)`", row):
        path = path + text if continues else text
        yield path.replace("/models/{id}", "/models/m").replace("/responses/{id}", "/responses/resp_1")


def test_the_documentation_lists_every_route() -> None:
    text = (Path(__file__).parents[3] / "docs" / "gateway.md").read_text()
    inference, forwarded, answered, _ = re.findall(
        r"^\| (?=\w).*", text.split("## Routes\n")[1].split("\n## ")[0], re.M
    )
    assert {*paths(inference)} == {*WAKES.split()}
    assert {*paths(forwarded)} == {*PASSES.split()}
    assert {*paths(answered)} == {*LOCAL.split()} - {"/v1/models/org/m"}


@given(st.binary(max_size=40))
def test_any_bytes_have_an_answer(path: bytes) -> None:
    for prefix in (b"", b"/", b"/v1/models/", b"/v1/responses/"):
        route = find_route(prefix + path)
        assert not isinstance(route, Route) or not route.wakes or prefix + path in ROUTES
