"""One client's connection: what it has sent, and what it has yet to be sent. Never waits."""

import math
import socket
import time

from app.worker.http1 import Reader, Request

_RECEIVE = 256 * 1024  # bytes at once
_LONGEST = 60  # seconds for a whole request, and for the whole answer: 20 MB at 2.7 Mbit/s
_LINGER = 2  # seconds in which the rest of a request that is answered already is read and dropped


class Connection:
    """`deadline` is when it ends unless something happens. Once `closed`, nothing can happen any more."""

    def __init__(self, sock: socket.socket, address: tuple, max_body: int, idle: float):
        self.sock = sock
        self.address = address
        self.arrived = time.monotonic()  # when the latest request was whole
        self.closed = False
        # The loop's: what it is watched for, the bytes of it that are counted, and whether requests come from it.
        self.events, self.counted, self.is_lively = 0, 0, True
        self._idle = idle
        self.deadline = time.monotonic() + idle
        self._reader = Reader(max_body)
        self._unsent = memoryview(b"")
        self._last = False  # after what is unsent, no more is said
        self._lingers = False

    @property
    def request(self) -> Request | None:
        """The oldest request that is not answered."""
        return self._reader.requests[0] if self._reader.requests else None

    @property
    def is_ready(self) -> bool:
        """There is a request that can be answered."""
        return not self._last and not self._unsent and self.request is not None and self.request.can_be_answered

    @property
    def is_idle(self) -> bool:
        return not self._reader.requests and not self._unsent and not self._last

    @property
    def is_late(self) -> bool:
        """Its time is up in the middle of a request."""
        return self.request is not None and not self._last

    @property
    def reads(self) -> bool:
        return self._lingers or not (self._last or self._unsent)

    @property
    def writes(self) -> bool:
        return bool(self._unsent)

    @property
    def held(self) -> int:
        """Bytes of bodies."""
        return sum(request.size for request in self._reader.requests)

    def receive(self) -> None:
        """Take what has come. Raises Problem where that is not HTTP."""
        try:
            data = self.sock.recv(_RECEIVE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            if self._lingers:
                return
            if self.is_idle:
                self.deadline = time.monotonic() + _LONGEST
            self._reader.feed(data)
        else:
            self.closed = True
        if self.is_ready:
            self.deadline = math.inf
            self.arrived = time.monotonic()

    def say_continue(self) -> None:
        """Tell a client that has asked that the body is welcome."""
        self.request.expects_continue = False
        self._unsent = memoryview(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.flush()

    def send(self, answer: bytes, last: bool) -> None:
        """Answer the request at hand. What the client does not take at once waits for `flush`."""
        request = self._reader.requests.popleft() if self._reader.requests else None
        self._last = last
        # Closed while something that it sent lies unread, the connection would be reset, and the answer lost.
        self._lingers = last and not (request and request.whole)
        self._unsent = memoryview(answer)
        self.deadline = time.monotonic() + _LONGEST
        self.flush()

    def flush(self) -> None:
        """Send on."""
        try:
            while self._unsent:
                self._unsent = self._unsent[self.sock.send(self._unsent) :]
            if self._lingers:
                self.sock.shutdown(socket.SHUT_WR)
                self.deadline = time.monotonic() + _LINGER
        except BlockingIOError:
            return
        except OSError:
            self.closed = True
        if self._last and not self._lingers:
            self.closed = True
        elif self.is_ready:  # sent along with the one before
            self.deadline, self.arrived = math.inf, time.monotonic()
        elif self.is_idle:
            self.deadline = time.monotonic() + self._idle
