"""The APIs whose streams name their events: /v1/responses (OpenAI) and /v1/messages (Anthropic). No [DONE] here.

The unary shape of /v1/responses is captured from a real vLLM; the streams and /v1/messages follow the public API
specifications, so treat their key order as unverified.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vllm_stub import tokens
from vllm_stub.dialects import Reply, answer_text, dump, random_id

STOP_REASONS = {"stop": "end_turn", "length": "max_tokens"}


class ResponsesDialect:
    """/v1/responses."""

    def __init__(self, reply: Reply, body: Mapping[str, Any]) -> None:
        self.reply = reply
        self._request = body
        self._item_id = f"msg_{random_id()}"
        self._sequence = 0

    def greeting(self) -> Sequence[bytes]:
        """Return the events right after the headers."""
        response = self._response("in_progress", [], None, None)
        return [
            self._event("response.created", {"response": response}),
            self._event("response.in_progress", {"response": response}),
        ]

    def opening(self) -> Sequence[bytes]:
        """Return the events before the first token."""
        item = {**self._item("", "in_progress"), "content": []}
        return [
            self._event("response.output_item.added", {"output_index": 0, "item": item}),
            self._event("response.content_part.added", {**self._place(), "part": _part("")}),
        ]

    def token(self, index: int) -> Sequence[bytes]:
        """Return the events of token `index`, 0 first, of every sequence."""
        delta = {**self._place(), "delta": tokens.output(index), "logprobs": []}
        return [self._event("response.output_text.delta", delta)]

    def ending(self, index: int | None, reason: str, produced: int) -> Sequence[bytes]:
        """Return the events of the finish reason, and whatever closes the stream."""
        text = answer_text(produced)
        item = self._item(text, "completed")
        return [
            *(self.token(index) if index is not None else ()),
            self._event("response.output_text.done", {**self._place(), "text": text, "logprobs": []}),
            self._event("response.content_part.done", {**self._place(), "part": _part(text)}),
            self._event("response.output_item.done", {"output_index": 0, "item": item}),
            self._event("response.completed", {"response": self.body(produced, reason)}),
        ]

    def failure(self, event: bytes) -> Sequence[bytes]:
        """Return an error event and what follows it."""
        return [event]

    def body(self, produced: int, reason: str) -> Any:
        """Return the unary answer."""
        status = "completed" if reason == "stop" else "incomplete"
        details = {"reason": "max_output_tokens"} if reason == "length" else None
        return self._response(status, [self._item(answer_text(produced), "completed")], details, produced)

    def _response(
        self, status: str, output: list[Any], details: Mapping[str, str] | None, produced: int | None
    ) -> dict[str, Any]:
        return {
            "id": f"resp_{self.reply.request_id}",
            "created_at": self.reply.created,
            "incomplete_details": details,
            "instructions": self._request.get("instructions"),
            "metadata": self._request.get("metadata"),
            "model": self.reply.model,
            "object": "response",
            "output": output,
            "parallel_tool_calls": True,
            "temperature": self._request.get("temperature", 1.0),
            "tool_choice": "none",
            "tools": [],
            "top_p": self._request.get("top_p", 1.0),
            "background": False,
            "max_output_tokens": self.reply.max_tokens,
            "max_tool_calls": None,
            "previous_response_id": None,
            "prompt": None,
            "reasoning": None,
            "service_tier": "auto",
            "status": status,
            "text": None,
            "top_logprobs": None,
            "truncation": "disabled",
            "usage": None if produced is None else _usage(self.reply.prompt_tokens, produced),
            "user": self._request.get("user"),
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "kv_transfer_params": None,
            "ec_transfer_params": None,
            "input_messages": None,
            "output_messages": None,
        }

    def _item(self, text: str, status: str) -> dict[str, Any]:
        return {
            "id": self._item_id,
            "content": [_part(text)],
            "role": "assistant",
            "status": status,
            "type": "message",
            "phase": None,
        }

    def _place(self) -> dict[str, Any]:
        return {"item_id": self._item_id, "output_index": 0, "content_index": 0}

    def _event(self, kind: str, members: Mapping[str, Any]) -> bytes:
        data = {**members, "sequence_number": self._sequence, "type": kind}
        self._sequence += 1
        return _named(kind, data)


class MessagesDialect:
    """/v1/messages."""

    def __init__(self, reply: Reply, body: Mapping[str, Any]) -> None:
        self.reply = reply

    def greeting(self) -> Sequence[bytes]:
        """Return the events right after the headers."""
        return ()

    def opening(self) -> Sequence[bytes]:
        """Return the events before the first token."""
        message = self._message([], None, 0)
        block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
        return [
            _named("message_start", {"type": "message_start", "message": message}),
            _named("content_block_start", block),
        ]

    def token(self, index: int) -> Sequence[bytes]:
        """Return the events of token `index`, 0 first, of every sequence."""
        delta = {"type": "text_delta", "text": tokens.output(index)}
        return [_named("content_block_delta", {"type": "content_block_delta", "index": 0, "delta": delta})]

    def ending(self, index: int | None, reason: str, produced: int) -> Sequence[bytes]:
        """Return the events of the finish reason, and whatever closes the stream."""
        delta = {"stop_reason": STOP_REASONS.get(reason, reason), "stop_sequence": None}
        counts = {"input_tokens": self.reply.prompt_tokens, "output_tokens": produced}
        return [
            *(self.token(index) if index is not None else ()),
            _named("content_block_stop", {"type": "content_block_stop", "index": 0}),
            _named("message_delta", {"type": "message_delta", "delta": delta, "usage": counts}),
            _named("message_stop", {"type": "message_stop"}),
        ]

    def failure(self, event: bytes) -> Sequence[bytes]:
        """Return an error event and what follows it."""
        return [event]

    def body(self, produced: int, reason: str) -> Any:
        """Return the unary answer."""
        content = [{"type": "text", "text": answer_text(produced)}]
        return self._message(content, STOP_REASONS.get(reason, reason), produced)

    def _message(self, content: list[Any], reason: str | None, produced: int) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{self.reply.request_id}",
            "type": "message",
            "role": "assistant",
            "content": content,
            "model": self.reply.model,
            "stop_reason": reason,
            "stop_sequence": None,
            "usage": {"input_tokens": self.reply.prompt_tokens, "output_tokens": produced},
        }


def _named(kind: str, data: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), dump(data))


def _part(text: str) -> dict[str, Any]:
    return {"annotations": [], "text": text, "type": "output_text", "logprobs": None}


def _usage(prompt: int, completion: int) -> dict[str, Any]:
    return {
        "input_tokens": prompt,
        "input_tokens_details": {
            "cached_tokens": 0,
            "cache_write_tokens": 0,
            "input_tokens_per_turn": [],
            "cached_tokens_per_turn": [],
        },
        "output_tokens": completion,
        "output_tokens_details": {
            "reasoning_tokens": 0,
            "tool_output_tokens": 0,
            "output_tokens_per_turn": [],
            "tool_output_tokens_per_turn": [],
        },
        "total_tokens": prompt + completion,
    }
