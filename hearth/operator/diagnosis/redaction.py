"""Redaction: text of others on one line, bounded, without what looks like a secret."""

from __future__ import annotations

import re

LONGEST = 300
"""Characters of a line that are shown."""

LONGEST_INPUT = 8192
"""The kubelet gives 2048 bytes (4096 from a file); more comes from somebody else."""

ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

_SECRETS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?<=://)[^/\s@]+@"), "***@"),
    (re.compile(r"(https?://[^\s?\"'<>]+)\?[^\s\"'<>]+"), r"\1"),
    (re.compile(r"\bhf_[A-Za-z0-9]{6,}"), "***"),
    (re.compile(r"\b(?:sk|ghp|gho|ghs|glpat|xox[a-z]|nvapi|ms)-?[-_][A-Za-z0-9_-]{10,}"), "***"),
    (re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{12,}"), "***"),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){1,2}"), "***"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}"), r"\1 ***"),
    (
        re.compile(
            r"(?i)((?:token|secret|passw(?:or)?d|passwd|api[_-]?key|access[_-]?key|credentials?|signature)"
            r"[\"']?\s*[=:]\s*[\"']?)(?!\d+\b)(?!\*\*\*)[^\s\"',;&)}\]]{3,}"
        ),
        r"\1***",
    ),
)
_OWN_PORT = re.compile(r"(?<=\d):\d+->")
_OPAQUE = re.compile(r"[A-Za-z0-9+_]{40,}={0,2}")
"""Long enough for a key. One in small letters and digits alone is a digest, which is no secret."""


def redact(text: str, longest: int = LONGEST) -> str:
    """Return text of others on one line, without what looks like a secret, of at most `longest` characters."""
    text = one_line(text, LONGEST_INPUT)
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return one_line(_OPAQUE.sub(_veiled, text), longest)


def one_line(text: str, longest: int) -> str:
    """Return text printable and on one line, of at most `longest` characters."""
    text = ANSI.sub("", text[:LONGEST_INPUT])
    text = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return text if len(text) <= longest else f"{text[: longest - 3].rstrip()}..."


def without_own_port(text: str) -> str:
    """Return the text of a network error without the port that the client happened to have."""
    return _OWN_PORT.sub("->", text)


def _veiled(match: re.Match[str]) -> str:
    word = match.group()
    mixed = any(map(str.isdigit, word)) and any(map(str.islower, word)) and any(map(str.isupper, word))
    return "***" if mixed else word
