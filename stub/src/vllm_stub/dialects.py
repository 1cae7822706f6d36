"""Dialects of the OpenAI routes: their bytes, key by key in the order of a real vLLM 0.32.0 (tests/stub/capture)."""

from __future__ import annotations

import hashlib
import json
import secrets
import struct
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from time import time
from typing import Any, Protocol

from vllm_stub import VERSION, tokens

EMBEDDING_SIZE = 8
DONE = b"data: [DONE]\n\n"
FINGERPRINT = f"vllm-{VERSION}-{hashlib.sha256(b'hearth-vllm-stub').hexdigest()[:8]}"


def dump(value: Any) -> bytes:
    """Compact JSON in UTF-8, as pydantic writes it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


@lru_cache(maxsize=4096)
def token_json(index: int) -> bytes:
    """Return a token of the answer as a JSON string; all streams repeat the same ones."""
    return dump(tokens.output(index))


def random_id() -> str:
    """16 hexadecimal digits."""
    return secrets.token_hex(8)


def answer_text(produced: int) -> str:
    """Return the whole answer of a unary request."""
    return "".join(map(tokens.output, range(produced)))


def usage(prompt: int, completion: int) -> dict[str, Any]:
    """Token counts as streams report them."""
    return {"prompt_tokens": prompt, "total_tokens": prompt + completion, "completion_tokens": completion}


def unary_usage(prompt: int, completion: int) -> dict[str, Any]:
    """Token counts as unary answers report them."""
    return {
        **usage(prompt, completion),
        "prompt_tokens_details": None,
        "completion_tokens_details": None,
    }


@dataclass(frozen=True, slots=True)
class Reply:
    """What every answer to one request repeats."""

    model: str
    request_id: str
    prompt_tokens: int
    max_tokens: int = 0
    width: int = 1
    include_usage: bool = False
    continuous_usage: bool = False
    created: int = field(default_factory=lambda: int(time()))


class Dialect(Protocol):
    """One API's way to say the same things. Every bytes object is one event."""

    @property
    def reply(self) -> Reply:
        """The request's facts that answers repeat."""

    def greeting(self) -> Sequence[bytes]:
        """Return the events right after the headers."""

    def opening(self) -> Sequence[bytes]:
        """Return the events before the first token, once the engine answered."""

    def token(self, index: int) -> Sequence[bytes]:
        """Return the events of token `index`, 0 first, of every sequence."""

    def ending(self, index: int | None, reason: str, produced: int) -> Sequence[bytes]:
        """Return the events of the finish reason, with the last token when `index` says which; then whatever closes the stream."""

    def failure(self, event: bytes) -> Sequence[bytes]:
        """Return an error event and what follows it."""

    def body(self, produced: int, reason: str) -> Any:
        """Return the unary answer."""


class ChatDialect:
    """/v1/chat/completions."""

    def __init__(self, reply: Reply, body: Mapping[str, Any]) -> None:
        self.reply = reply
        self._id = f"chatcmpl-{reply.request_id}"
        head = {"id": self._id, "object": "chat.completion.chunk", "created": reply.created, "model": reply.model}
        self._head = b"data: " + dump(head)[:-1] + b',"choices":['

    def greeting(self) -> Sequence[bytes]:
        """Return the events right after the headers."""
        return ()

    def opening(self) -> Sequence[bytes]:
        """Return the events before the first token."""
        counts = running_usage(self.reply, 0)
        return [
            b'%b{"index":%d,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]%b'
            b',"prompt_token_ids":null,"prompt_text":null}\n\n' % (self._head, choice, counts)
            for choice in range(self.reply.width)
        ]

    def token(self, index: int) -> Sequence[bytes]:
        """Return the events of token `index`, 0 first, of every sequence."""
        text = token_json(index)
        counts = running_usage(self.reply, index + 1)
        return [
            b'%b{"index":%d,"delta":{"content":%b},"logprobs":null,"finish_reason":null,"token_ids":null}]%b}\n\n'
            % (self._head, choice, text, counts)
            for choice in range(self.reply.width)
        ]

    def ending(self, index: int | None, reason: str, produced: int) -> Sequence[bytes]:
        """Return the events of the finish reason, and whatever closes the stream."""
        text = b'""' if index is None else token_json(index)
        mark = b"" if self.reply.include_usage else b',"system_fingerprint":' + dump(FINGERPRINT)
        counts = running_usage(self.reply, produced)
        return [
            *(
                b'%b{"index":%d,"delta":{"content":%b},"logprobs":null,"finish_reason":%b,"stop_reason":null,'
                b'"token_ids":null}]%b%b}\n\n' % (self._head, choice, text, dump(reason), counts, mark)
                for choice in range(self.reply.width)
            ),
            *usage_events(self._head, self.reply, produced),
            DONE,
        ]

    def failure(self, event: bytes) -> Sequence[bytes]:
        """Return an error event and what follows it."""
        return [event, DONE]

    def body(self, produced: int, reason: str) -> Any:
        """Return the unary answer."""
        reply = self.reply
        message = {
            "role": "assistant",
            "content": answer_text(produced),
            "refusal": None,
            "annotations": None,
            "audio": None,
            "function_call": None,
            "reasoning": None,
        }
        choices = [
            {
                "index": choice,
                "message": message,
                "logprobs": None,
                "finish_reason": reason,
                "stop_reason": None,
                "token_ids": None,
                "routed_experts": None,
            }
            for choice in range(reply.width)
        ]
        return {
            "id": self._id,
            "object": "chat.completion",
            "created": reply.created,
            "model": reply.model,
            "choices": choices,
            "service_tier": None,
            "system_fingerprint": FINGERPRINT,
            "usage": unary_usage(reply.prompt_tokens, produced * reply.width),
            "prompt_logprobs": None,
            "prompt_token_ids": None,
            "prompt_text": None,
            "kv_transfer_params": None,
            "ec_transfer_params": None,
            "metrics": None,
        }


class CompletionDialect:
    """/v1/completions."""

    def __init__(self, reply: Reply, body: Mapping[str, Any]) -> None:
        self.reply = reply
        self._id = f"cmpl-{reply.request_id}"
        head = {"id": self._id, "object": "text_completion", "created": reply.created, "model": reply.model}
        self._head = b"data: " + dump(head)[:-1] + b',"choices":['

    def greeting(self) -> Sequence[bytes]:
        """Return the events right after the headers."""
        return ()

    def opening(self) -> Sequence[bytes]:
        """Return the events before the first token."""
        return ()

    def token(self, index: int) -> Sequence[bytes]:
        """Return the events of token `index`, 0 first, of every sequence."""
        return self._choices(token_json(index), None, running_usage(self.reply, index + 1))

    def ending(self, index: int | None, reason: str, produced: int) -> Sequence[bytes]:
        """Return the events of the finish reason, and whatever closes the stream."""
        tail = running_usage(self.reply, produced)
        if not self.reply.include_usage:
            tail += b',"system_fingerprint":' + dump(FINGERPRINT)
        return [
            *self._choices(b'""' if index is None else token_json(index), reason, tail),
            *usage_events(self._head, self.reply, produced),
            DONE,
        ]

    def failure(self, event: bytes) -> Sequence[bytes]:
        """Return an error event and what follows it."""
        return [event, DONE]

    def body(self, produced: int, reason: str) -> Any:
        """Return the unary answer."""
        reply = self.reply
        choices = [
            {
                "index": choice,
                "text": answer_text(produced),
                "logprobs": None,
                "finish_reason": reason,
                "stop_reason": None,
                "token_ids": None,
                "prompt_logprobs": None,
                "prompt_token_ids": None,
                "routed_experts": None,
            }
            for choice in range(reply.width)
        ]
        return {
            "id": self._id,
            "object": "text_completion",
            "created": reply.created,
            "model": reply.model,
            "choices": choices,
            "service_tier": None,
            "system_fingerprint": FINGERPRINT,
            "usage": unary_usage(reply.prompt_tokens, produced * reply.width),
            "kv_transfer_params": None,
            "ec_transfer_params": None,
            "metrics": None,
        }

    def _choices(self, text: bytes, reason: str | None, tail: bytes) -> list[bytes]:
        return [
            b'%b{"index":%d,"text":%b,"logprobs":null,"finish_reason":%b,"stop_reason":null,"prompt_token_ids":null,'
            b'"token_ids":null}]%b}\n\n' % (self._head, choice, text, dump(reason), tail)
            for choice in range(self.reply.width)
        ]


class EmbeddingDialect:
    """/v1/embeddings, which never streams; not captured, after vLLM's response classes."""

    def __init__(self, reply: Reply, body: Mapping[str, Any]) -> None:
        self.reply = reply
        self._base64 = body.get("encoding_format") == "base64"

    def greeting(self) -> Sequence[bytes]:
        """Return the events right after the headers."""
        return ()

    def opening(self) -> Sequence[bytes]:
        """Return the events before the first token."""
        return ()

    def token(self, index: int) -> Sequence[bytes]:
        """Return the events of token `index`, 0 first, of every sequence."""
        return ()

    def ending(self, index: int | None, reason: str, produced: int) -> Sequence[bytes]:
        """Return the events of the finish reason, and whatever closes the stream."""
        return ()

    def failure(self, event: bytes) -> Sequence[bytes]:
        """Return an error event and what follows it."""
        return ()

    def body(self, produced: int, reason: str) -> Any:
        """Return the unary answer."""
        reply = self.reply
        data = [
            {"index": index, "object": "embedding", "embedding": _embedding(index, base64=self._base64)}
            for index in range(reply.width)
        ]
        return {
            "id": f"embd-{reply.request_id}",
            "object": "list",
            "created": reply.created,
            "model": reply.model,
            "data": data,
            "usage": {
                "prompt_tokens": reply.prompt_tokens,
                "total_tokens": reply.prompt_tokens,
                "completion_tokens": 0,
                "prompt_tokens_details": None,
            },
        }


def _embedding(index: int, *, base64: bool) -> list[float] | str:
    """Return a unit vector; float32 little-endian in base64 when asked, as the openai client does by default."""
    vector = [1.0 if position == index % EMBEDDING_SIZE else 0.0 for position in range(EMBEDDING_SIZE)]
    return b64encode(struct.pack(f"<{EMBEDDING_SIZE}f", *vector)).decode() if base64 else vector


def running_usage(reply: Reply, produced: int) -> bytes:
    """Return the usage member of a chunk under `continuous_usage_stats`, else nothing."""
    if not reply.continuous_usage:
        return b""
    return b',"usage":' + dump(usage(reply.prompt_tokens, produced))


def usage_events(head: bytes, reply: Reply, produced: int) -> list[bytes]:
    """Return the usage chunk under `include_usage`, else nothing."""
    if not reply.include_usage:
        return []
    counts = dump(usage(reply.prompt_tokens, produced * reply.width))
    return [b'%b],"usage":%b,"system_fingerprint":%b}\n\n' % (head, counts, dump(FINGERPRINT))]


def models(served: Sequence[str], root: str, max_model_len: int) -> Any:
    """/v1/models: one card for every served name."""
    now = int(time())
    return {
        "object": "list",
        "data": [
            {
                "id": name,
                "object": "model",
                "created": now,
                "owned_by": "vllm",
                "root": root,
                "parent": None,
                "max_model_len": max_model_len,
                "permission": [
                    {
                        "id": f"modelperm-{random_id()}",
                        "object": "model_permission",
                        "created": now,
                        "allow_create_engine": False,
                        "allow_sampling": True,
                        "allow_logprobs": True,
                        "allow_search_indices": False,
                        "allow_view": True,
                        "allow_fine_tuning": False,
                        "organization": "*",
                        "group": None,
                        "is_blocking": False,
                    }
                ],
            }
            for name in served
        ],
    }
