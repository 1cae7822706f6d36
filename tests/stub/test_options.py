from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vllm_stub.durations import parse_duration
from vllm_stub.options import DEFAULT_MAX_MODEL_LEN, OptionError, Options, parse_options


def parse(line: str, **environ: str) -> Options:
    return parse_options(line.split(), environ)


@pytest.mark.parametrize(
    "line",
    [
        "serve /models/q --served-model-name qwen --port 9001",
        "/models/q --served-model-name=qwen --port=9001",
        "serve --model /models/q --served_model_name qwen --port 9001",
        "serve --dtype bfloat16 --enforce-eager /models/q --port 9001 --served-model-name qwen",
        "serve /models/q -tp 2 -O3 --compilation-config {} --no-enable-log-requests --port 9001 --served-model-name=qwen",
        "serve --disable-access-log-for-endpoints /health,/metrics /models/q --port 9001 --served-model-name qwen",
        "serve -O3 /models/q --gpu-memory-utilization 0.9 --seed -1 --served-model-name qwen --port 9001",
    ],
)
def test_real_command_lines(line: str) -> None:
    options = parse(line)
    assert (options.model, options.served_names, options.port) == ("/models/q", ("qwen",), 9001)


def test_several_served_names_the_first_is_shown() -> None:
    options = parse("serve m --served-model-name a b --port 1")
    assert options.served_names == ("a", "b")
    assert options.name == "a"


def test_model_path_is_the_default_name() -> None:
    assert parse("serve /models/q").name == "/models/q"


def test_keys() -> None:
    assert parse("m --api-key a b").api_keys == ("a", "b")
    assert parse("m", STUB_API_KEY="k").api_keys == ("k",)
    assert parse("m", VLLM_API_KEY="k").api_keys == ("k",)
    assert parse("m").api_keys == ()


@pytest.mark.parametrize(
    ("text", "tokens"), [("4096", 4096), ("4k", 4000), ("4K", 4096), ("auto", DEFAULT_MAX_MODEL_LEN)]
)
def test_model_length(text: str, tokens: int) -> None:
    assert parse(f"m --max-model-len {text}").max_model_len == tokens


def test_environment_and_its_precedence() -> None:
    environ = {
        "STUB_STARTUP_DELAY": "1m30s",
        "STUB_TOKEN_COUNT": "7",
        "STUB_TOKEN_DELAY": "2.5ms",
        "STUB_LISTEN_ADDR": "[::1]:9000",
        "STUB_MAX_NUM_SEQS": "3",
    }
    options = parse("m", **environ)
    assert (options.startup_delay, options.token_count, options.token_delay) == (90.0, 7, 0.0025)
    assert (options.host, options.port, options.max_num_seqs) == ("::1", 9000, 3)
    options = parse("m --host 127.0.0.1 --port 1 --max-num-seqs 5", **environ)
    assert (options.host, options.port, options.max_num_seqs) == ("127.0.0.1", 1, 5)


def test_defaults_of_the_reference_stub() -> None:
    options = parse("")
    assert (options.startup_delay, options.token_count, options.token_delay, options.port) == (0.0, 1, 0.05, 8000)


@pytest.mark.parametrize(
    ("line", "environ", "wanted"),
    [
        ("m --port nine", {}, "--port: 'nine'"),
        ("m --port 70000", {}, "--port: '70000'"),
        ("m --port", {}, "--port has no value"),
        ("m --served-model-name --port 1", {}, "--served-model-name has no value"),
        ("m --max-model-len many", {}, "--max-model-len: 'many'"),
        ("m", {"STUB_TOKEN_COUNT": "0"}, "STUB_TOKEN_COUNT: '0'"),
        ("m", {"STUB_TOKEN_DELAY": "soon"}, "STUB_TOKEN_DELAY: 'soon'"),
        ("m", {"STUB_STARTUP_DELAY": "-1s"}, "STUB_STARTUP_DELAY: '-1s'"),
        ("m", {"STUB_LISTEN_ADDR": "8000"}, "STUB_LISTEN_ADDR: '8000'"),
        ("m", {"STUB_SIGTERM": "later"}, "STUB_SIGTERM: 'later'"),
    ],
)
def test_errors_name_the_thing_and_its_value(line: str, environ: dict[str, str], wanted: str) -> None:
    with pytest.raises(OptionError) as caught:
        parse(line, **environ)
    assert wanted in str(caught.value)


@given(st.lists(st.from_regex(r"--[a-z][a-z-]*(=\w*)?|-[a-z]|\w+", fullmatch=True)))
def test_any_unknown_words_are_accepted(words: list[str]) -> None:
    known = {"model", "host", "port", "task", "runner", "api-key", "served-model-name"}
    words = [word for word in words if word.lstrip("-").partition("=")[0] not in known]
    assert parse_options(["serve", "m", *words], {}).model == "m"


@given(st.integers(0, 10**6), st.integers(0, 59), st.integers(0, 999))
def test_durations_add_up(hours: int, minutes: int, millis: int) -> None:
    assert parse_duration(f"{hours}h{minutes}m{millis}ms") == pytest.approx(hours * 3600 + minutes * 60 + millis / 1000)


@pytest.mark.parametrize("text", ["", "5", "s", "1 s", "-1s", "1s2", "1d"])
def test_not_a_duration(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)
