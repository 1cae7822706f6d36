"""Text as tokens: four bytes of UTF-8 make one token, about what real tokenizers reach on English."""

from __future__ import annotations

from collections.abc import Iterable

BYTES_PER_TOKEN = 4
CHAT_TOKENS = 5  # what a chat template adds around the messages
MESSAGE_TOKENS = 4  # what it adds around each message


def encode(text: str) -> list[int]:
    """Token ids of a text; a leading 1 byte keeps the ids of zero bytes distinct, so decode() inverts this."""
    data = text.encode()
    return [
        int.from_bytes(b"\x01" + data[start : start + BYTES_PER_TOKEN])
        for start in range(0, len(data), BYTES_PER_TOKEN)
    ]


def decode(ids: Iterable[int]) -> str:
    """Text of token ids; an id that encode() never gives becomes its low bytes."""
    data = b"".join(number.to_bytes((number.bit_length() + 7) // 8 or 1)[1:] for number in ids)
    return data.decode(errors="replace")


def count(text: str) -> int:
    """How many tokens a text has."""
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def output(index: int) -> str:
    """Return the stub's answer, token by token: "Hello 1 2 3", so that a lost or repeated token shows."""
    return "Hello" if index == 0 else f" {index}"
