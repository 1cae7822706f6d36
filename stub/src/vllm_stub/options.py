"""Options of the process: vLLM's command line and the STUB_* environment."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from vllm_stub.durations import parse_duration

T = TypeVar("T")

DEFAULT_MODEL = "Qwen/Qwen3-0.6B"  # vLLM's own default
DEFAULT_MAX_MODEL_LEN = 32768
DEFAULT_MAX_NUM_SEQS = 256
MODEL_FLAG = "model"
LIST_FLAGS = frozenset({"served-model-name", "api-key"})
"""Known flags that take one or more values, as argparse's nargs="+" does."""
VALUE_FLAGS = frozenset(
    {
        MODEL_FLAG,
        "host",
        "port",
        "max-model-len",
        "max-num-seqs",
        "max-num-queued-reqs",
        "shutdown-timeout",
        "sse-keep-alive-interval",
        "task",
        "runner",
        "disable-access-log-for-endpoints",  # ignored, but it looks like a flag without a value
    }
)
BOOLEAN_FLAGS = frozenset(
    {"enforce-eager", "trust-remote-code", "async-scheduling", "headless", "return-tokens-as-token-ids"}
)
"""Flags without a value beside the --enable-*, --disable-*, --no-* and -O<n> families."""
BOOLEAN_PREFIXES = ("enable-", "disable-", "no-", "skip-")
_SIZE_UNITS = {"k": 10**3, "m": 10**6, "g": 10**9, "K": 2**10, "M": 2**20, "G": 2**30}


class OptionError(Exception):
    """A flag or variable that cannot be used; the text names it, its value and the remedy."""


@dataclass(frozen=True, slots=True)
class Options:
    """The whole configuration. Times are seconds."""

    model: str = DEFAULT_MODEL
    served_names: tuple[str, ...] = (DEFAULT_MODEL,)
    host: str = ""
    port: int = 8000
    max_model_len: int = DEFAULT_MAX_MODEL_LEN
    max_num_seqs: int = DEFAULT_MAX_NUM_SEQS
    max_queued: int | None = None
    shutdown_timeout: float = 0.0
    api_keys: tuple[str, ...] = ()
    keep_alive_interval: float = 0.0
    pooling: bool = False
    sleep_mode: bool = False
    dev_mode: bool = False
    track_load: bool = False
    force_usage: bool = False
    request_id_headers: bool = False
    access_log: bool = True
    http_keep_alive: float = 5.0
    keep_dead: bool = False
    startup_delay: float = 0.0
    prefill_delay: float = 0.0
    token_count: int = 1
    token_delay: float = 0.05
    death_delay: float = 5.0
    abort_style: str = "error"

    @property
    def name(self) -> str:
        """The name that responses and metrics carry: the first served one."""
        return self.served_names[0]


def parse_options(argv: Sequence[str], environ: Mapping[str, str]) -> Options:
    """Read `[serve] [MODEL] --flag ...` and the environment; raises OptionError. Flags win over variables."""
    positional, flags = _split(argv)
    model = _last(flags, MODEL_FLAG) or (positional[0] if positional else DEFAULT_MODEL)
    env_host, env_port = _listen_address(environ.get("STUB_LISTEN_ADDR", ":8000"))
    keys = flags.get("api-key") or [environ.get("STUB_API_KEY", "") or environ.get("VLLM_API_KEY", "")]

    def number(flag: str, default: int, convert: Callable[[str], int] = int) -> int:
        return _convert(f"--{flag}", _last(flags, flag), default, convert, "a whole number")

    def seconds(name: str, default: float) -> float:
        return _convert(name, environ.get(name), default, parse_duration, "a Go duration such as 250ms or 15s")

    def count(name: str, default: int) -> int:
        return _convert(name, environ.get(name), default, _positive, "a whole number of at least 1")

    return Options(
        model=model,
        served_names=tuple(flags.get("served-model-name") or (model,)),
        host=_last(flags, "host") or env_host,
        port=number("port", env_port, _port),
        max_model_len=number("max-model-len", DEFAULT_MAX_MODEL_LEN, _model_length),
        max_num_seqs=number("max-num-seqs", count("STUB_MAX_NUM_SEQS", DEFAULT_MAX_NUM_SEQS), _positive),
        max_queued=number("max-num-queued-reqs", 0) or None,
        shutdown_timeout=number("shutdown-timeout", 0, _natural),
        api_keys=tuple(key for key in keys if key),
        keep_alive_interval=_convert(
            "--sse-keep-alive-interval", _last(flags, "sse-keep-alive-interval"), 0.0, float, "a number of seconds"
        ),
        pooling=_last(flags, "runner") == "pooling" or _last(flags, "task") in ("embed", "embedding"),
        sleep_mode="enable-sleep-mode" in flags,
        dev_mode=environ.get("VLLM_SERVER_DEV_MODE") == "1",
        track_load="enable-server-load-tracking" in flags,
        force_usage="enable-force-include-usage" in flags,
        request_id_headers="enable-request-id-headers" in flags,
        access_log="disable-uvicorn-access-log" not in flags,
        http_keep_alive=_convert(
            "VLLM_HTTP_TIMEOUT_KEEP_ALIVE",
            environ.get("VLLM_HTTP_TIMEOUT_KEEP_ALIVE"),
            5.0,
            float,
            "a number of seconds",
        ),
        keep_dead=environ.get("VLLM_KEEP_ALIVE_ON_ENGINE_DEATH") == "1",
        startup_delay=seconds("STUB_STARTUP_DELAY", 0.0),
        prefill_delay=seconds("STUB_PREFILL_DELAY", 0.0),
        token_count=count("STUB_TOKEN_COUNT", 1),
        token_delay=seconds("STUB_TOKEN_DELAY", 0.05),
        death_delay=seconds("STUB_DEATH_DELAY", 5.0),
        abort_style=_convert("STUB_SIGTERM", environ.get("STUB_SIGTERM"), "error", _abort_style, '"error" or "abort"'),
    )


def _split(argv: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Positional arguments and flag values. Unknown flags keep their values away from the positionals."""
    words = list(argv[1:]) if argv[:1] == ["serve"] else list(argv)
    positional: list[str] = []
    flags: dict[str, list[str]] = {}
    index = 0
    while index < len(words):
        word = words[index]
        index += 1
        if not _is_flag(word):
            positional.append(word)
            continue
        name, equals, value = word.lstrip("-").partition("=")
        name = name.replace("_", "-")
        values = [value] if equals else []
        if not equals and not _is_boolean(name):
            limit = len(words) if name in LIST_FLAGS else index + 1
            while index < min(limit, len(words)) and not _is_flag(words[index]):
                values.append(words[index])
                index += 1
        if not values and name in LIST_FLAGS | VALUE_FLAGS:
            raise OptionError(f"--{name} has no value; write --{name} VALUE or --{name}=VALUE")
        flags[name] = values
    return positional, flags


def _is_flag(word: str) -> bool:
    # a negative number is a value, as for argparse
    return word.startswith("-") and re.fullmatch(r"-\d+(\.\d+)?|-", word) is None


def _is_boolean(name: str) -> bool:
    if name in VALUE_FLAGS:
        return False
    return name in BOOLEAN_FLAGS or name.startswith(BOOLEAN_PREFIXES) or re.fullmatch(r"O\d", name) is not None


def _last(flags: Mapping[str, list[str]], name: str) -> str | None:
    values = flags.get(name)
    return values[-1] if values else None


def _convert(name: str, text: str | None, default: T, convert: Callable[[str], T], wanted: str) -> T:
    if text is None or text == "":
        return default
    try:
        return convert(text)
    except ValueError as error:
        raise OptionError(f"{name}: {text!r} cannot be used; give {wanted}") from error


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


def _natural(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError(text)
    return value


def _port(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 65535:
        raise ValueError(text)
    return value


def _model_length(text: str) -> int:
    """VLLM's human-readable sizes: 4096, 4k (4000), 4K (4096), and auto or -1 for the model's own length."""
    if text in ("auto", "-1"):
        return DEFAULT_MAX_MODEL_LEN
    if text[-1] in _SIZE_UNITS:
        return int(float(text[:-1]) * _SIZE_UNITS[text[-1]])
    return _positive(text)


def _abort_style(text: str) -> str:
    if text not in ("error", "abort"):
        raise ValueError(text)
    return text


def _listen_address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    try:
        if not colon:
            raise ValueError(text)
        return host.strip("[]"), _port(port)
    except ValueError as error:
        raise OptionError(f"STUB_LISTEN_ADDR: {text!r} cannot be used; give :PORT or HOST:PORT") from error
