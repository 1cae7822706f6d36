"""The termination message: the line that says why, its reason and its remedy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth.operator.diagnosis.reasons import Reason
from hearth.operator.diagnosis.redaction import LONGEST, redact
from hearth.operator.diagnosis.termination_message import read_termination_message

TRACEBACK = """Traceback (most recent call last):
  File "/usr/lib/python3.12/runpy.py", line 198, in _run_module_as_main
    return _run_code(code, main_globals, None,
  File "/app/serve.py", line 12, in main
    raise ValueError("no such model: x")
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
ValueError: no such model: x
"""


ENGINE_CORE = (
    "(EngineCore_DP0 pid=177)     raise e from None\n"
    "(EngineCore_DP0 pid=177) Exception: WorkerProc initialization failed due to an exception in a background process. "
    "See stack trace for root cause.\n"
    '(APIServer pid=1)   File "/vllm/v1/engine/utils.py", line 964, in wait_for_engine_startup\n'
    "(APIServer pid=1)     raise RuntimeError(\n"
    "(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}\n"
)


BEFORE = "(EngineCore_DP0 pid=177) ERROR 09-18 04:30:01 [core.py:1355] "


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("", ""),
        ("   \n\n", ""),
        (TRACEBACK, "ValueError: no such model: x"),
        (TRACEBACK + "[rank0]:[W918 04:30:01 ProcessGroupNCCL.cpp:1] Warning: destroy_process_group() was not called\n",
         "ValueError: no such model: x"),
        (TRACEBACK + "/usr/lib/python3.12/multiprocessing/resource_tracker.py:279: UserWarning: 1 leaked\n  warnings.warn(\n",
         "ValueError: no such model: x"),
        (BEFORE + "AssertionError: head size 96 is not supported\n" + ENGINE_CORE,
         "AssertionError: head size 96 is not supported"),
        ("INFO 09-18 04:30:01 [api_server.py:1] starting\nSegmentation fault (core dumped)\n", "Segmentation fault (core dumped)"),
        ("ready\nfatal: cannot bind port 8000\ncleaning up\n", "fatal: cannot bind port 8000"),
        ("KeyboardInterrupt\n", "KeyboardInterrupt"),
        (
            "KeyError: 'rope'\n\nDuring handling of the above exception, another exception occurred:\n\n" + TRACEBACK,
            "ValueError: no such model: x",
        ),
        ("pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig\n"
         "  Value error, The model type [x] is not known [type=value_error]\n    For further information visit https://errors.pydantic.dev/v\n",
         "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig Value error, The model type [x] is "
         "not known [type=value_error] For further information visit https://errors.pydantic.dev/v"),
        ("\x1b[31mERROR: \x1b[0mbad \x07flag\n", "ERROR: bad flag"),
    ],
)  # fmt: skip
def test_the_line_that_says_why(message: str, line: str) -> None:
    assert read_termination_message(message).line == line


def test_what_was_kept_holds_no_cause() -> None:
    words = read_termination_message(ENGINE_CORE)
    assert words.elsewhere
    assert words.line == ""


@pytest.mark.parametrize(
    ("line", "reason", "remedy"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 23.6 GiB",
         Reason.DEVICE_MEMORY_EXHAUSTED, "--max-model-len"),
        ("RuntimeError: NPU out of memory. Tried to allocate 448.00 MiB", Reason.DEVICE_MEMORY_EXHAUSTED, "--max-model-len"),
        ("ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when initializing",
         Reason.DEVICE_MEMORY_EXHAUSTED, "KV cache"),
        ("ValueError: To serve at least one request with the models's max seq len (131072), (4.00 GiB KV cache is needed, "
         "which is larger than the available KV cache memory (0.65 GiB).", Reason.DEVICE_MEMORY_EXHAUSTED, "KV cache"),
        ("ValueError: Free memory on device cuda:0 (3.25/23.43 GiB) on startup is less than desired GPU memory utilization "
         "(0.96, 22.49 GiB).", Reason.DEVICE_MEMORY_EXHAUSTED, "--gpu-memory-utilization"),
        ("OSError: You are trying to access a gated repo.", Reason.MODEL_ACCESS_DENIED, "HF_TOKEN"),
        ("requests.exceptions.HTTPError: 401 Client Error: Unauthorized for url: https://huggingface.co/api/models/a/b",
         Reason.MODEL_ACCESS_DENIED, "HF_TOKEN"),
        ("huggingface_hub.errors.RepositoryNotFoundError: 404 Client Error. (Request ID: Root=1-6)",
         Reason.MODEL_NOT_FOUND, "spec.model.source.uri"),
        ("OSError: [Errno 28] No space left on device", Reason.CACHE_FULL, "spec.cache.size"),
        ("OSError: We couldn't connect to 'https://huggingface.co' to load the files", Reason.HUB_UNREACHABLE, "HF_ENDPOINT"),
        ("socket.gaierror: [Errno -3] Temporary failure in name resolution", Reason.HUB_UNREACHABLE, "DNS"),
        ("vllm serve: error: unrecognized arguments: --no-such-flag", Reason.INVALID_ARGUMENTS, "spec.runtime.argsOverride"),
        ("api_server.py: error: argument --max-model-len: invalid human_readable_int value: 'x'",
         Reason.INVALID_ARGUMENTS, "spec.runtime.argsOverride"),
        ("RuntimeError: The NVIDIA driver on your system: CUDA driver version is insufficient for CUDA runtime version",
         Reason.NO_DRIVER, "driver"),
        ("RuntimeError: Failed to infer device type, please set the environment variable", Reason.NO_DRIVER, "driver"),
        ("PermissionError: [Errno 13] Permission denied: '/cache/hf'", Reason.PERMISSION_DENIED, "user"),
        ("OSError: [Errno 30] Read-only file system: '/home/engine/.cache'", Reason.PERMISSION_DENIED, "spec.pod"),
    ],
)  # fmt: skip
def test_a_cause_that_is_known_has_a_reason_and_a_remedy(line: str, reason: Reason, remedy: str) -> None:
    words = read_termination_message(BEFORE + line + "\n" + ENGINE_CORE)
    assert (words.line, words.reason) == (line, reason)
    assert remedy in words.remedy


@pytest.mark.parametrize("status", ["404 Client Error.", "401 Client Error. (Request ID: Root=1-6)"])
def test_a_model_that_is_not_there_is_not_taken_for_a_gated_one(status: str) -> None:
    """All that huggingface_hub 2.4 says of it."""
    words = read_termination_message(f"""\
    raise _format(RepositoryNotFoundError, message, response, repo_type=repo_type, repo_id=repo_id) from e
huggingface_hub.errors.RepositoryNotFoundError: {status}

Repository Not Found for url: https://huggingface.co/api/models/acme/none/revision/main.
Please make sure you specified the correct `repo_id` and `repo_type`.
If you are trying to access a private or gated repo, make sure you are authenticated and your token has the required permissions.
For more details, see https://huggingface.co/docs/huggingface_hub/authentication
Invalid username or password.
""")
    assert words.reason is Reason.MODEL_NOT_FOUND
    assert words.line == "Repository Not Found for url: https://huggingface.co/api/models/acme/none/revision/main."


@given(st.text(max_size=3000) | st.text(alphabet="aA1+_=:. \n\x1b[", max_size=9000))
def test_any_text_becomes_one_short_printable_line(text: str) -> None:
    for shown in (redact(text), read_termination_message(text).line):
        assert len(shown) <= LONGEST
        assert shown.isprintable()
    assert redact(redact(text)) == redact(text)


def test_a_hostile_log_costs_no_time() -> None:
    """Every pattern takes linear time on what the bound lets through; a quadratic one would run into the time limit."""
    for text in (
        "a" * 10**6,
        "token=" * 10**5,
        "(A" * 10**5,
        "https://" * 10**5,
        "aA1" * 10**6,
        "ERROR 0" * 10**5,
        "\x1b[" * 10**5,
    ):
        read_termination_message(text)
        redact(text)
