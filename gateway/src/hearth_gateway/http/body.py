"""Request bodies: the two fields that the gateway reads, the model and whether to stream, and their renaming."""

from __future__ import annotations

import re
from typing import Any

import msgspec


class BadBody(Exception):
    """A body that is not what its route expects; the message says why."""


class Fields(msgspec.Struct):
    """The two members of the JSON document that matter here; any type is taken, the backend judges it."""

    model: Any = None
    stream: Any = None


_FIELDS = msgspec.json.Decoder(Fields)
_DOCUMENT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_FORM_FIELD = re.compile(
    rb'\r\nContent-Disposition:[ \t]*form-data;[ \t]*name="?(model|stream)"?[ \t]*(?:\r\n[^\r\n]+)*\r\n\r\n([^\r\n]{0,256})\r\n',
    re.IGNORECASE,
)


def read_json(body: bytes) -> Fields:
    """Return the fields of a JSON body. Raises BadBody."""
    try:
        return _FIELDS.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _bad(body, error) from error


def read_form(body: bytes) -> Fields:
    """Return the fields of a multipart/form-data body, as far as they are there."""
    found = {name.lower(): value.decode(errors="replace") for name, value in _FORM_FIELD.findall(body)}
    return Fields(model=found.get(b"model"), stream=found.get(b"stream", "").strip().lower() == "true")


def rename_model(body: bytes, name: str) -> bytes:
    """Return the same JSON document with another `model`; every other member keeps its bytes. Raises BadBody."""
    try:
        document = _DOCUMENT.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _bad(body, error) from error
    document["model"] = msgspec.Raw(msgspec.json.encode(name))
    return msgspec.json.encode(document)


def rename_form_model(body: bytes, name: str) -> bytes:
    """Return the same multipart body with another value in every `model` field."""
    pieces, position = [], 0
    for match in _FORM_FIELD.finditer(body):
        if match[1].lower() == b"model":
            pieces += [body[position : match.start(2)], name.encode()]
            position = match.end(2)
    return b"".join((*pieces, body[position:]))


def _bad(body: bytes, error: Exception) -> BadBody:
    return BadBody(str(error).replace("`", "'") if body else "it is empty")
