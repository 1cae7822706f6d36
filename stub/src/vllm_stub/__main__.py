"""`vllm-stub serve MODEL ...` and `python -m vllm_stub ...`."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

from vllm_stub.options import OptionError, parse_options

USAGE = """usage: vllm-stub [serve] [MODEL] [--served-model-name NAME ...] [--host H] [--port P] [vLLM flags ...]

A vLLM OpenAI server without a model. Flags of vLLM that mean nothing here are accepted and ignored.
Times and faults come from STUB_* variables, the X-Stub-Fault header and POST /control: see the README.
"""
TERMINATED = 128 + signal.SIGTERM


def main() -> None:
    """Entry point of the console script; exit status 2 means that the command line cannot be used."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        sys.stdout.write(USAGE)
        return
    # nothing is worth finishing before the server listens; as PID 1 the default disposition would ignore the signal
    signal.signal(signal.SIGTERM, _leave)
    try:
        options = parse_options(sys.argv[1:], os.environ)
    except OptionError as error:
        sys.exit(_refuse(str(error)))
    # The stub opens no TLS connection, but importing aiohttp reads the system's certificates: 0.1 s for nothing.
    os.environ.setdefault("SSL_CERT_FILE", os.devnull)
    from vllm_stub.process import run

    try:
        status = run(options)
    except OSError as error:
        host = options.host or "0.0.0.0"  # noqa: S104  # only shown
        status = _refuse(f"cannot bind {host}:{options.port}: {error.strerror or error}; choose another --port")
    sys.exit(status)


def _leave(_number: int, _frame: FrameType | None) -> None:
    os._exit(TERMINATED)


def _refuse(message: str) -> int:
    sys.stderr.write(f"vllm-stub: error: {message}\n")
    return 2


if __name__ == "__main__":
    main()
