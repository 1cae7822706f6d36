"""Redaction: secrets are hidden, and text is one short line."""

from __future__ import annotations

import pytest

from hearth.operator.diagnosis.redaction import redact
from hearth.operator.diagnosis.termination_message import read_termination_message

SECRETS = [
    "hf_AbCdEfGhIjKlMnOpQrStUvWxYz123456",
    "sk-proj-AbCdEfGhIjKlMnOp1234",
    "ghp_AbCdEfGhIjKlMnOp1234",
    "AKIAIOSFODNN7EXAMPLE",
    "eyJhbGciOiJSUzI1NiIsImtpZCI6.eyJzdWIiOiJzeXN0ZW0.c2lnbmF0dXJl",
    "bPxRfiCYEXAMPLEKEYwJalrXUtnFEMIK7MDENG1234",
]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("around", ["{}", "error: {}.", "x={}", '{{"k": "{}"}}', "ValueError: bad token {} given"])
def test_what_looks_like_a_secret_is_not_shown(secret: str, around: str) -> None:
    assert secret not in redact(around.format(secret))
    assert secret not in read_termination_message(around.format(secret)).line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: Bearer abc.def-123", "Authorization: Bearer ***"),
        ("HF_TOKEN=letmein now", "HF_TOKEN=*** now"),
        ("'password': 'hunter2',", "'password': '***',"),
        ("api-key: aaaa", "api-key: ***"),
        ("https://user:pw@hub.example/x", "https://***@hub.example/x"),
        ("GET https://b.example/f?X-Amz-Signature=0a1b&x=1 403", "GET https://b.example/f 403"),
        ("max_num_batched_tokens=2048 is fine", "max_num_batched_tokens=2048 is fine"),
        (
            "DeepSeek-R1-Distill-Qwen-32B-quantized-w8a8-something",
            "DeepSeek-R1-Distill-Qwen-32B-quantized-w8a8-something",
        ),
        ("image@sha256:" + "0a" * 32, "image@sha256:" + "0a" * 32),
        ("unknown tokenizer: llama", "unknown tokenizer: llama"),
    ],
)
def test_only_secrets_are_hidden(text: str, shown: str) -> None:
    assert redact(text) == shown
