"""The termination message: one line of a failed program's log that says why it failed, safe to show.

The kubelet keeps the last 2048 bytes of the log in the pod's status (`terminationMessagePolicy: FallbackToLogsOnError`).
The last line is seldom the one: vLLM ends in a traceback of its front end, and says "see root cause above".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hearth.operator.diagnosis.reasons import Reason
from hearth.operator.diagnosis.redaction import ANSI, LONGEST_INPUT, redact


@dataclass(frozen=True, slots=True)
class TerminationMessage:
    """`line` is empty when nothing useful was said. There is no reason and no remedy for a cause that is not known."""

    line: str = ""
    reason: Reason | None = None
    remedy: str = ""
    elsewhere: bool = False
    """The cause is further up in the log than what was kept."""


@dataclass(frozen=True, slots=True)
class _Cause:
    pattern: re.Pattern[str]
    reason: Reason
    remedy: str


def _cause(pattern: str, reason: Reason, remedy: str) -> _Cause:
    return _Cause(re.compile(pattern, re.IGNORECASE), reason, remedy)


_SMALLER = (
    "use a smaller or quantized model, lower --max-model-len in spec.runtime.argsOverride, or spread it over more "
    "devices with spec.resources.accelerators"
)
_CAUSES = (
    # Each wording is vLLM's, PyTorch's, huggingface_hub's or the kernel's own.
    _cause(
        r"no available memory for the cache blocks|larger than the (available|maximum).{0,60}kv cache",
        Reason.DEVICE_MEMORY_EXHAUSTED,
        f"the accelerator's memory does not hold the weights and the KV cache; {_SMALLER}",
    ),
    _cause(
        r"is less than desired gpu memory utilization",
        Reason.DEVICE_MEMORY_EXHAUSTED,
        "another process uses memory of the accelerator; stop it, or lower --gpu-memory-utilization in "
        "spec.runtime.argsOverride",
    ),
    _cause(
        r"\b(cuda|hip|npu|xpu|hpu)\b.{0,20}out of memory|\bOutOfMemoryError\b",
        Reason.DEVICE_MEMORY_EXHAUSTED,
        f"the model does not fit the accelerator's memory; {_SMALLER}",
    ),
    # Before the next two: the hub's client speaks of gated models here too, and the hub answers strangers with 401.
    _cause(
        r"RepositoryNotFoundError|Repository Not Found for url|RevisionNotFoundError|Revision Not Found for url|"
        r"is not a local folder and is not a valid model identifier|"
        r"\b404 Client Error",
        Reason.MODEL_NOT_FOUND,
        "check spec.model.source.uri; a private model also looks like this without a token",
    ),
    _cause(
        r"gated repo|GatedRepoError|access to model .{0,200} is restricted|cannot access gated",
        Reason.MODEL_ACCESS_DENIED,
        "accept the model's licence at its hub and give the engine a token (HF_TOKEN in the runtime's env, from a Secret)",
    ),
    _cause(
        r"\b401 Client Error|\b403 Client Error|Invalid (user token|credentials)|Invalid username or password",
        Reason.MODEL_ACCESS_DENIED,
        "check the token (HF_TOKEN in the runtime's env, from a Secret): it is missing, expired or not allowed to read "
        "this model",
    ),
    _cause(
        r"no space left on device|disk quota exceeded",
        Reason.CACHE_FULL,
        "raise spec.cache.size (claims are immutable: delete the old one and Hearth recreates it), or free up space on the node",
    ),
    _cause(
        r"couldn't connect to '?https?://|LocalEntryNotFoundError|Temporary failure in name resolution|"
        r"Name or service not known|Max retries exceeded with url|MaxRetryError",
        Reason.HUB_UNREACHABLE,
        "the pods cannot reach the hub: check DNS, proxies and NetworkPolicies, or set a mirror (HF_ENDPOINT in "
        "the runtime's env)",
    ),
    _cause(
        r"unrecognized arguments|the following arguments are required|argument .{1,80}: (invalid|expected)",
        Reason.INVALID_ARGUMENTS,
        "correct spec.runtime.argsOverride, or spec.container.args of the runtime",
    ),
    _cause(
        r"cuda driver version is insufficient|no cuda-capable device|libcuda\.so|Failed to infer device type|"
        r"No supported (gpu|device)",
        Reason.NO_DRIVER,
        "the container finds no working device: check the driver of the node, its device plugin, and the versions in the image",
    ),
    _cause(
        r"permission denied|read-only file system",
        Reason.PERMISSION_DENIED,
        "the engine is not allowed to write there: check the image's user, the volume's ownership and spec.pod of the runtime",
    ),
)

_PREFIX = re.compile(
    r"\([A-Za-z]\w*(?: pid=\d+)?\)\s?"  # vLLM: which process
    r"|(?:DEBUG|INFO|WARNING|ERROR|CRITICAL)\s+\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)? \[[^\]]*\] ?"  # vLLM: where and when
    r"|\[rank\d+\]:\s?"
)
_GENERIC = re.compile(
    r"see (root cause|stack trace)|initialization failed due to an exception|engine core (proc )?.{0,20}died"
    r"|failed core proc|EngineDeadError|EngineCore failed to start",
    re.IGNORECASE,
)
_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt|NotFound|Failure)(?::|$)")
_LOUD = re.compile(r"(?:^|\b)(?:error|fatal|critical|panic)\b\W", re.IGNORECASE)
_NOISE = re.compile(
    r"Traceback \(most recent call last\)|^During handling of|^The above exception|resource_tracker|warnings\.warn"
    r"|destroy_process_group|^Process \S+:$|^\W*$|^nanobind",
)
_OPEN = re.compile(r"validation errors? for|:$")


def read_termination_message(message: str) -> TerminationMessage:
    """Return what a termination message says.

    Whatever it holds, the result is one bounded line without control characters and without what looks like a secret.
    """
    lines = [_bare(line) for line in ANSI.sub("", message[-LONGEST_INPUT:]).splitlines()]
    for cause in _CAUSES:
        found = next((line for line in reversed(lines) if cause.pattern.search(line)), None)
        if found is not None:
            return TerminationMessage(redact(found), cause.reason, cause.remedy)
    said = [
        number for number, line in enumerate(lines) if line.strip() and not _frame(line) and not _NOISE.search(line)
    ]
    telling = [number for number in said if not _GENERIC.search(lines[number])]
    for pattern in (_EXCEPTION, _LOUD):
        number = next((n for n in reversed(telling) if pattern.match(lines[n]) or _loud(pattern, lines[n])), None)
        if number is not None:
            return TerminationMessage(redact(_whole(lines, number)))
    if any(_GENERIC.search(lines[number]) for number in said):
        return TerminationMessage(elsewhere=True)
    return TerminationMessage(redact(lines[telling[-1]])) if telling else TerminationMessage()


def _loud(pattern: re.Pattern[str], line: str) -> bool:
    return pattern is _LOUD and pattern.search(line) is not None


def _bare(line: str) -> str:
    """Return the line without what vLLM and torch put before it.

    Leading blanks stay: frames of a traceback begin with them.
    """
    while (match := _PREFIX.match(line)) is not None:
        line = line[match.end() :]
    return line.rstrip()


def _frame(line: str) -> bool:
    """Return whether a line is a frame of a traceback, or its code: next to nothing else is indented."""
    return line.startswith(("  ", "\t", "+ "))


def _whole(lines: list[str], number: int) -> str:
    """Return an exception whole that goes on in the next lines, as pydantic's do."""
    text = lines[number].strip()
    for line in lines[number + 1 : number + 3]:
        if not (line.strip() and _OPEN.search(text)):
            break
        text = f"{text} {line.strip()}"
    return text
