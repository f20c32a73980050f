"""Bodies: where they end, what is refused, and that no byte is copied."""

import itertools
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.problems import Problem
from app.worker.body import ChunkedBody, SizedBody

WIRE = b"5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nA: b\r\n\r\n"


@given(st.lists(st.integers(0, len(WIRE)), max_size=6))
def test_chunked_body_is_the_same_wherever_it_was_cut(cuts):
    body, data = ChunkedBody(1000), bytearray()
    edges = [0, *sorted(cuts), len(WIRE)]
    for start, end in itertools.pairwise(edges):
        data += WIRE[start:end]
        body.take(data)
    assert body.is_whole
    assert (body.file().read(), bytes(data)) == (b"hello!", b"")


@pytest.mark.parametrize("body", [ChunkedBody(1000), SizedBody(6)])
def test_what_follows_a_body_is_left(body):
    data = bytearray((WIRE if isinstance(body, ChunkedBody) else b"hello!") + b"GET /")
    body.take(data)
    assert body.is_whole
    assert (body.file().read(), bytes(data)) == (b"hello!", b"GET /")


@pytest.mark.parametrize(
    "wire",
    [
        b"zz\r\n",
        b"\r\n",
        b"-1\r\n",
        b"5 \r\nhello\r\n",
        b"5\nhello",
        b"5\r\nhelloX",
        b"5\r\nhello\rX",
        b"1;" + b"a" * 300,
        b"1;" + b"a" * 300 + b"\r\n",
        b"0\r\nno field\r\n\r\n",
        b"0\r\n" + b"A: b\r\n" * 2000,
        b"0\r\nA: " + b"b" * 9000,
    ],
)
def test_malformed_or_endless_chunk_is_refused(wire):
    with pytest.raises(Problem) as caught:
        ChunkedBody(1000).take(bytearray(wire))
    assert caught.value.status in (400, 431)


def test_chunked_body_over_the_limit_is_known_from_the_size_of_its_chunks():
    body = ChunkedBody(5)
    body.take(bytearray(b"5\r\nhello\r\n"))
    assert not body.is_too_large
    body.take(bytearray(b"1\r\n"))
    assert body.is_too_large
    assert not body.is_whole


@pytest.mark.parametrize("kind", ["sized", "chunked"])
def test_body_is_held_once_and_reading_it_copies_nothing(kind):
    size, piece = 8_000_000, bytes(100_000)
    tracemalloc.start()
    try:
        body = SizedBody(size) if kind == "sized" else ChunkedBody(size)
        for _ in range(size // len(piece)):
            body.take(bytearray(piece) if kind == "sized" else bytearray(b"%x\r\n%b\r\n" % (len(piece), piece)))
        if kind == "chunked":
            body.take(bytearray(b"0\r\n\r\n"))
        content = body.file().read()
        assert len(content) == size
        assert tracemalloc.get_traced_memory()[1] < 1.3 * size
    finally:
        tracemalloc.stop()
