"""A client that sends exactly the bytes it is given, and reads answers strictly."""

import re
import socket
import time
from dataclasses import dataclass, field

_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5]\d\d) [^\r\n\0]*")
_FIELD_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\r\n\0]*?)[ \t]*")
_MAX_HEAD = 64 * 1024


class WireError(AssertionError):
    """The server sent something that is not a valid answer."""


@dataclass
class Answer:
    """One answer; `fields` has the field names in lower case."""

    status: int
    fields: dict[str, str]
    content: bytes = b""
    raw_head: bytes = field(default=b"", repr=False)


class Client:
    """One connection. Answers are read with `read`; `closed` is true once the server has closed the connection."""

    def __init__(self, port: int, timeout: float = 10, receive_buffer: int | None = None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.timeout = timeout
        self.closed = False
        self._buffer = b""

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> bool:
        """Send `data`. False if the server has closed the connection before it had taken everything."""
        try:
            self.socket.settimeout(self.timeout)
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def half_close(self) -> None:
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.closed = True

    def read(self, timeout: float | None = None, without_content: bool = False) -> Answer | None:
        """The next answer. None if none is complete within `timeout` seconds, or if the connection was closed first.

        Raises WireError if the server sends something that is not an answer.
        """
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            answer, length = _parse(self._buffer, self.closed, without_content)
            if answer:
                self._buffer = self._buffer[length:]
                return answer
            if self.closed:
                if self._buffer:
                    raise WireError(f"the connection ended within an answer: {self._buffer[:200]!r}")
                return None
            if not self._receive(deadline - time.monotonic()):
                return None

    def _receive(self, seconds: float) -> bool:
        """Read what has arrived; false after `seconds` without anything."""
        self.socket.settimeout(max(seconds, 0.001))
        try:
            data = self.socket.recv(256 * 1024)
        except TimeoutError:
            return False
        except ConnectionResetError:
            data = b""
        self._buffer += data
        self.closed = not data
        return True


def _parse(data: bytes, at_end: bool, without_content: bool) -> tuple[Answer | None, int]:
    """The first answer in `data` and its length in bytes; (None, 0) if it is not complete."""
    head, separator, _ = data.partition(b"\r\n\r\n")
    if not separator:
        if len(data) > _MAX_HEAD or not b"HTTP/1.1 ".startswith(data[:9]):
            raise WireError(f"this is not an answer: {data[:200]!r}")
        return None, 0
    line, *lines = head.split(b"\r\n")
    status = _STATUS_LINE.fullmatch(line)
    if not status:
        raise WireError(f"invalid status line {line[:200]!r}")
    fields: dict[str, str] = {}
    for text in lines:
        match = _FIELD_LINE.fullmatch(text)
        if not match:
            raise WireError(f"invalid field line {text[:200]!r}")
        name = match[1].decode().lower()
        if name in fields and name in ("content-length", "connection", "date"):
            raise WireError(f"two field lines {name}")
        fields[name] = match[2].decode("latin-1")
    answer = Answer(int(status[1]), fields, raw_head=head + separator)
    start = len(head) + 4
    if answer.status < 200:
        return answer, start
    if "date" not in fields:
        raise WireError(f"answer {answer.status} has no Date")
    if without_content or answer.status in (204, 304):
        return answer, start
    if "content-length" not in fields:
        if fields.get("connection") != "close":
            raise WireError(f"answer {answer.status} has no Content-Length")
        if not at_end:
            return None, 0
        answer.content = data[start:]
        return answer, len(data)
    length = int(fields["content-length"])
    if len(data) < start + length:
        return None, 0
    answer.content = data[start : start + length]
    return answer, start + length
