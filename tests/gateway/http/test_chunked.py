"""Laws of the chunked decoder."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth_gateway.http.chunked import MAX_LINE, BadChunk, ChunkDecoder

extensions = st.sampled_from((b"", b" ", b"\t", b";a=b", b' ;name="quoted; text"', b";" + b"x" * 90))
trailers = st.lists(st.sampled_from((b"X-Sum: 1", b"a:", b"x" * 90)), max_size=3)


@st.composite
def chunked_bodies(draw: st.DrawFn) -> tuple[list[bytes], bytes, list[int]]:
    """Draw chunks, their encoding, and the offsets at which a chunk starts."""
    chunks = draw(st.lists(st.binary(min_size=1, max_size=40), max_size=6))
    wire, starts = b"", [0]
    for chunk in chunks:
        size = draw(st.sampled_from(("%x", "%X", "%04x"))) % len(chunk)
        wire += size.encode() + draw(extensions) + b"\r\n" + chunk + b"\r\n"
        starts.append(len(wire))
    wire += draw(st.sampled_from((b"0", b"000"))) + draw(extensions) + b"\r\n"
    wire += b"".join(line + b"\r\n" for line in draw(trailers)) + b"\r\n"
    return chunks, wire, starts


def feed_bytes(wire: bytes) -> None:
    decoder = ChunkDecoder()
    for position in range(len(wire)):
        decoder.feed(wire[position : position + 1])


def cut(data: bytes, points: list[int]) -> list[bytes]:
    edges = sorted({min(point, len(data)) for point in points} | {0, len(data)})
    return [data[a:b] for a, b in pairwise(edges)]


@given(chunked_bodies(), st.lists(st.integers(0, 400), max_size=12), st.binary(max_size=5))
def test_any_split_decodes_to_the_body(
    message: tuple[list[bytes], bytes, list[int]], points: list[int], surplus: bytes
) -> None:
    chunks, wire, starts = message
    decoder, body, fed = ChunkDecoder(), b"", 0
    for piece in cut(wire, points):
        assert decoder.at_boundary == (fed in starts)
        assert not decoder.done
        body += decoder.feed(piece)
        fed += len(piece)
    assert decoder.done
    assert (body, decoder.rest) == (b"".join(chunks), b"")
    assert not decoder.at_boundary

    whole = ChunkDecoder()
    assert whole.feed(wire + surplus) == body
    assert (whole.done, whole.rest) == (True, surplus)


@given(chunked_bodies())
def test_byte_by_byte_delivers_each_byte_when_it_comes(message: tuple[list[bytes], bytes, list[int]]) -> None:
    chunks, wire, starts = message
    decoder, body = ChunkDecoder(), b""
    for position in range(len(wire)):
        assert decoder.at_boundary == (position in starts)
        body += decoder.feed(wire[position : position + 1])
    assert decoder.done
    assert body == b"".join(chunks)


@given(chunked_bodies(), st.integers(0, 1000))
def test_a_body_that_was_cut_is_not_done(message: tuple[list[bytes], bytes, list[int]], at: int) -> None:
    chunks, wire, _ = message
    decoder = ChunkDecoder()
    body = decoder.feed(wire[: min(at, len(wire) - 1)])
    assert not decoder.done
    assert b"".join(chunks).startswith(body)


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=6))
def test_garbage_has_one_verdict_however_it_is_cut(data: bytes, points: list[int]) -> None:
    def verdict(pieces: list[bytes]) -> tuple[bool, bool, bytes]:
        decoder, body = ChunkDecoder(), b""
        try:
            for piece in pieces:
                body += decoder.feed(piece)
                if decoder.done:
                    break
        except BadChunk:
            return True, False, b""
        return False, decoder.done, body

    assert verdict([data]) == verdict(cut(data, points)) == verdict([data[i : i + 1] for i in range(len(data))])


@pytest.mark.parametrize(
    "wire",
    [
        b"\r\n",
        b"g\r\n",
        b"-1\r\n",
        b"+1\r\n",
        b"0x1\r\n",
        b" 1\r\n",
        b"1 1\r\n",
        b"1_0\r\n",
        b"\xd9\xa1\r\n",  # a digit, but no ASCII digit
        b"123456789\r\n",  # nine digits
        b"1\na\r\n",
        b"1\n\r\n",
        b"1;a\nb\r\n",
        b"1\r\nab\r\n",
        b"1\r\na\rb\r\n",
        b"1;" + b"x" * MAX_LINE,
        b"0\r\n" + b"x" * MAX_LINE,
        b"1\r\na" + b"x" * MAX_LINE,
    ],
)
def test_broken_framing_is_an_error(wire: bytes) -> None:
    with pytest.raises(BadChunk) as whole:
        ChunkDecoder().feed(wire)
    assert str(whole.value).startswith(("the chunk size ", "a chunk "))
    with pytest.raises(BadChunk):
        feed_bytes(wire)


def test_the_longest_header_line_is_the_same_however_it_is_cut() -> None:
    for length, good in ((MAX_LINE - 2, True), (MAX_LINE - 1, False)):
        wire = b"1;" + b"x" * (length - 2) + b"\r\na\r\n0\r\n\r\n"
        for pieces in ([wire], [wire[i : i + 1] for i in range(len(wire))]):
            decoder, body = ChunkDecoder(), b""
            try:
                for piece in pieces:
                    body += decoder.feed(piece)
            except BadChunk:
                assert not good
            else:
                assert good
                assert (decoder.done, body) == (True, b"a")


def test_a_large_chunk_may_come_in_many_reads() -> None:
    decoder = ChunkDecoder()
    decoder.feed(b"ffffffff\r\n")
    for _ in range(3):
        assert decoder.feed(b"x" * 100_000) == b"x" * 100_000
        assert not decoder.at_boundary
