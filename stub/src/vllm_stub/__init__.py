"""A vLLM OpenAI server without a model: same bytes, same faults, no accelerator."""

from __future__ import annotations

VERSION = "0.32.0"
"""The vLLM release whose answers this stub reproduces (see tests/stub/capture)."""
