"""Request bodies: what vLLM checks, in its order and words, and what the engine needs to know of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vllm_stub import tokens
from vllm_stub.errors import ApiError, bad_value, error_body, schema_error, unknown_model, validation
from vllm_stub.options import Options


@dataclass(frozen=True, slots=True)
class Generation:
    """A valid inference request. `count` tokens per sequence, then `finish` ("stop" or "length")."""

    stream: bool
    prompt_tokens: int
    max_tokens: int
    count: int
    finish: str
    width: int = 1
    include_usage: bool = False
    continuous_usage: bool = False


def parse_body(content_type: str, data: bytes) -> dict[str, Any]:
    """Return the JSON object of a request; raises ApiError 400."""
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise validation("Unsupported Media Type: Only 'application/json' is allowed", None)
    if not data:
        raise schema_error("missing", "body", "Field required", {})
    try:
        body = json.loads(data)
    except json.JSONDecodeError as error:
        raise schema_error("json_invalid", f"body.{error.pos}", "JSON decode error", {}, error.msg) from error
    except UnicodeDecodeError as error:
        raise ApiError(400, {"detail": "There was an error parsing the body"}) from error
    if not isinstance(body, dict):
        raise schema_error("model_attributes_type", "body", "Input should be a valid dictionary", {})
    return body


def check_model(body: Mapping[str, Any], options: Options) -> None:
    """Refuse a model that is not served by 404; an absent or empty one is fine."""
    name = body.get("model")
    if name and name not in options.served_names:
        raise unknown_model(str(name), options.served_names)


def parse_chat(body: Mapping[str, Any], options: Options, natural: int) -> Generation:
    """Parse a chat completion; `natural` is how many tokens the answer has when nothing limits it."""
    messages = _required(body, "messages")
    if not isinstance(messages, list):
        raise schema_error("list_type", "body.messages", "Input should be a valid list", body)
    check_model(body, options)
    limit = body.get("max_completion_tokens", body.get("max_tokens"))
    return _generation(body, options, natural, chat_tokens(messages), limit, _integer(body, "n", 1))


def parse_completion(body: Mapping[str, Any], options: Options, natural: int) -> Generation:
    """Parse a text completion; every prompt of a batch is a sequence of its own."""
    prompts = _prompts(_required(body, "prompt"))
    check_model(body, options)
    width = _integer(body, "n", 1) * len(prompts)
    return _generation(body, options, natural, max(prompts, default=0), body.get("max_tokens", 16), width)


def parse_responses(body: Mapping[str, Any], options: Options, natural: int) -> Generation:
    """Parse a request of the Responses API."""
    given = _required(body, "input")
    check_model(body, options)
    messages = given if isinstance(given, list) else [{"content": given}]
    if body.get("instructions"):
        messages = [{"content": body["instructions"]}, *messages]
    return _generation(body, options, natural, chat_tokens(messages), body.get("max_output_tokens"), 1)


def parse_messages(body: Mapping[str, Any], options: Options, natural: int) -> Generation:
    """Parse a request of the Anthropic Messages API."""
    messages = _required(body, "messages")
    limit = _required(body, "max_tokens")
    if not isinstance(messages, list):
        raise schema_error("list_type", "body.messages", "Input should be a valid list", body)
    check_model(body, options)
    return _generation(body, options, natural, chat_tokens([{"content": body.get("system")}, *messages]), limit, 1)


def parse_embedding(body: Mapping[str, Any], options: Options, natural: int) -> Generation:
    """Parse an embedding; every input of a batch is a sequence of its own, and none produces a token."""
    inputs = _prompts(_required(body, "input"))
    check_model(body, options)
    return Generation(stream=False, prompt_tokens=sum(inputs), max_tokens=0, count=0, finish="stop", width=len(inputs))


def chat_tokens(messages: Sequence[Any]) -> int:
    """Prompt tokens of messages in a chat template."""
    return tokens.CHAT_TOKENS + sum(
        tokens.MESSAGE_TOKENS + tokens.count(_text(message.get("content")))
        for message in messages
        if isinstance(message, Mapping)
    )


def _generation(
    body: Mapping[str, Any], options: Options, natural: int, prompt_tokens: int, limit: Any, width: int
) -> Generation:
    temperature = body.get("temperature")
    if isinstance(temperature, (int, float)) and temperature < 0:
        raise bad_value(
            f"temperature must be non-negative, got {float(temperature)}.", "temperature", float(temperature)
        )
    if width < 1:
        raise bad_value(f"n must be at least 1, got {width}.", "n", width)
    length = options.max_model_len
    if limit is not None:
        limit = _integer({"max_tokens": limit}, "max_tokens", 0)
        if limit < 1:
            raise bad_value(f"max_tokens must be at least 1, got {limit}.", "max_tokens", limit)
        if limit > length:
            raise bad_value(
                f"max_tokens={limit} cannot be greater than max_model_len={length}. "
                "Please request fewer output tokens.",
                "max_tokens",
                limit,
            )
    wanted = limit if limit is not None else 1
    if prompt_tokens + wanted > length:
        raise bad_value(
            f"This model's maximum context length is {length} tokens. However, you requested {wanted} output tokens "
            f"and your prompt contains at least {prompt_tokens} input tokens, for a total of at least "
            f"{prompt_tokens + wanted} tokens. Please reduce the length of the input prompt or the number of "
            "requested output tokens.",
            "input_tokens",
            prompt_tokens,
        )
    allowed = limit if limit is not None else length - prompt_tokens
    limited = allowed <= natural or body.get("ignore_eos") is True
    stream_options = body.get("stream_options")
    if not isinstance(stream_options, Mapping):
        stream_options = {}
    return Generation(
        stream=body.get("stream") is True,
        prompt_tokens=prompt_tokens,
        max_tokens=allowed,
        count=allowed if limited else natural,
        finish="length" if limited else "stop",
        width=width,
        include_usage=options.force_usage or stream_options.get("include_usage") is True,
        continuous_usage=options.force_usage or stream_options.get("continuous_usage_stats") is True,
    )


def _required(body: Mapping[str, Any], field: str) -> Any:
    if field not in body:
        raise schema_error("missing", f"body.{field}", "Field required", body)
    return body[field]


def _integer(body: Mapping[str, Any], field: str, default: int) -> int:
    value = body.get(field)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int):
        raise schema_error("int_type", f"body.{field}", "Input should be a valid integer", body)
    return value


def _prompts(prompt: Any) -> list[int]:
    """Token counts of the prompts of a completion: a text, token ids, or a list of either."""
    if isinstance(prompt, str):
        return [tokens.count(prompt)]
    if isinstance(prompt, list) and prompt and all(isinstance(item, int) for item in prompt):
        return [len(prompt)]
    if isinstance(prompt, list) and prompt and all(isinstance(item, (str, list)) for item in prompt):
        return [tokens.count(item) if isinstance(item, str) else len(item) for item in prompt]
    raise ApiError(
        400,
        error_body("Either prompt or prompt_embeds must be provided and non-empty.", "BadRequestError", 400, "prompt"),
    )


def _text(content: Any) -> str:
    """Return the text of a message's content: a string, or parts of which only the text counts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
    return ""
