"""The body of a request: of a declared length, or in the chunked transfer coding (RFC 9112, section 7.1).

Both write into one `io.BytesIO`, which becomes the application's `wsgi.input`. Reading all of it returns the memory
that the socket wrote into: a body is held once, and never copied here.
"""

import io
import re
import socket

from app.problems import Problem
from app.worker import limits

_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t -~\x80-\xff]*)?\r\n")
_TRAILER_LINE = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t -~\x80-\xff]*\r\n")


class SizedBody:
    """A body of `size` bytes. Memory is allocated at once; the kernel provides it as it is written to."""

    def __init__(self, size: int):
        self.size, self.received = size, 0
        self._file = io.BytesIO(bytes(size))
        self._view = self._file.getbuffer()

    @property
    def is_whole(self) -> bool:
        return self.received == self.size

    def take(self, data: bytearray) -> None:
        """Move the bytes that belong to this body out of `data`."""
        count = min(len(data), self.size - self.received)
        if count:
            self._view[self.received : self.received + count] = memoryview(data)[:count]
            del data[:count]
            self.received += count

    def receive(self, sock: socket.socket) -> int:
        """Read from the socket. The bytes read; 0 at the end of the stream."""
        end = min(self.size, self.received + limits.BODY_RECEIVE_BYTES)
        count = sock.recv_into(self._view[self.received : end])
        self.received += count
        return count

    def file(self) -> io.BytesIO:
        self._view.release()
        return self._file


class ChunkedBody:
    """A chunked body of at most `limit` bytes; `is_too_large` once it exceeds that."""

    def __init__(self, limit: int):
        self.received = 0
        self.is_whole = self.is_too_large = False
        self._limit, self._file = limit, io.BytesIO()
        self._left = 0  # bytes of the current chunk, and then 2 for its CRLF
        self._in_trailer = False
        self._trailer_bytes = 0

    def take(self, data: bytearray) -> None:
        """Move the bytes that belong to this body out of `data`, decoded. Raises Problem."""
        at = 0
        while not (self.is_whole or self.is_too_large):
            step = self._trailer(data, at) if self._in_trailer else self._chunk(data, at)
            if not step:
                break
            at += step
        del data[:at]

    def file(self) -> io.BytesIO:
        self._file.getvalue()  # shrinks the buffer to the content in place, so that reading it all copies nothing
        self._file.seek(0)
        return self._file

    def _chunk(self, data: bytearray, at: int) -> int:
        """Decode a size line, chunk data or the CRLF after it; return the bytes used, 0 if more are needed."""
        if self._left > 2:
            count = min(self._left - 2, len(data) - at)
            with memoryview(data) as view:
                self._file.write(view[at : at + count])
            self._left -= count
            self.received += count
            return count
        if self._left:
            if data[at : at + 2] == b"\r\n":
                self._left = 0
                return 2
            if len(data) - at >= 2 or (len(data) > at and data[at] != 13):
                raise _invalid("a chunk does not end with CRLF")
            return 0
        line = _SIZE_LINE.match(data, at)
        if not line:
            return _more(data, at, limits.CHUNK_LINE_BYTES, "a chunk's size line is malformed or too long")
        if line.end() - at > limits.CHUNK_LINE_BYTES:
            raise _invalid("a chunk's extensions are too long")
        size = int(line[1], 16)
        self._in_trailer = not size
        self._left = size + 2 if size else 0
        self.is_too_large = self.received + size > self._limit
        return line.end() - at

    def _trailer(self, data: bytearray, at: int) -> int:
        """Drop a trailer field; the empty line ends the body."""
        if data[at : at + 2] == b"\r\n":
            self.is_whole = True
            return 2
        line = _TRAILER_LINE.match(data, at)
        used = line.end() - at if line else len(data) - at
        if self._trailer_bytes + used > limits.TRAILER_BYTES:
            raise Problem(431, "the trailer fields are too long: send fewer")
        if not line:
            return _more(data, at, limits.TRAILER_BYTES, "a trailer field is malformed")
        self._trailer_bytes += used
        return used


def _more(data: bytearray, at: int, limit: int, reason: str) -> int:
    """0, for a line that may still become valid with more bytes. Raises Problem if it cannot."""
    line_feed, carriage_return = data.find(b"\n", at), data.find(b"\r", at)
    if line_feed >= 0 or 0 <= carriage_return < len(data) - 1 or len(data) - at >= limit:
        raise _invalid(reason)
    return 0


def _invalid(reason: str) -> Problem:
    return Problem(400, f"invalid HTTP request: {reason}")
