"""One client's connection. It never blocks, and only the thread that runs the event loop touches it.

                +------------------------- answer sent, keep-alive ------------------------+
                v                                                                          |
    accept -> HEAD --- head without a body ----------------------------> READY -> respond -> SENDING
                |                                                        ^                 |
                +- head with a body -> RESERVE -- memory --> BODY -------+                 | answer sent,
                                                             whole                         | connection: close
                                                                                           v
    any state: malformed, late -> SENDING a refusal; end of stream -> CLOSED <------- DRAINING

HEAD      reads a head; idle if nothing of it has come. One request is parsed at a time: input that follows it stays
          unparsed until its answer is sent, so an answer cannot be taken for that of another request.
RESERVE   the body waits in the account's queue for memory, unread.
READY     a whole request, or one whose body is too large, is queued or with the application.
DRAINING  nothing more is answered. What still comes is read and dropped, because closing a socket with unread input
          resets the connection, and the client may lose the answer.
"""

import io
import math
import socket
import time
from enum import Enum
from selectors import EVENT_READ, EVENT_WRITE

from app.pool import BusyError
from app.problems import Problem, to_problem
from app.worker import head, limits, wsgi
from app.worker.account import Account
from app.worker.body import ChunkedBody, SizedBody
from app.worker.outbox import Outbox

State = Enum("State", "HEAD RESERVE BODY READY SENDING DRAINING CLOSED")


class Connection:
    """`since` is when it came to its state, `deadline` when `expire` is due, both of `time.monotonic()`."""

    def __init__(self, sock: socket.socket, address: tuple, account: Account, max_body: int, idle: float):
        self.sock, self.address = sock, address
        self.state = State.HEAD
        self.since = self.arrived = time.monotonic()  # arrived: when the latest request was whole
        self.deadline = self.since + idle
        self.request, self.method = head.NO_REQUEST, ""
        self.reserved = self.buffered = 0  # the account's
        self.events = 0  # the event loop's: what the selector watches it for
        self.is_late = False  # the request queue's: refuse the request because of overload
        self._account, self._max_body = account, max_body
        self._idle, self._drain = idle, float(limits.DRAIN_SECONDS)
        self._input = bytearray()
        self._outbox = Outbox(sock)
        self._body: SizedBody | ChunkedBody | None = None
        self._rate: tuple[float, int] = limits.RATE_SECONDS, limits.RATE_BYTES  # a body brings so much in such a time
        self._received, self._closes = 0, False  # bytes of the body before the current period; after the answer

    @property
    def is_idle(self) -> bool:
        return self.state is State.HEAD and not self._input.strip(b"\r\n")

    @property
    def interest(self) -> int:
        """The events that the selector is to watch for."""
        reads = self.state in (State.HEAD, State.BODY, State.DRAINING)
        return EVENT_READ * reads | EVENT_WRITE * bool(self._outbox)

    @property
    def client(self) -> str:
        """Whose request it is: what the platform's front end reports, or the peer's address."""
        return self.request.environ.get("HTTP_X_FORWARDED_FOR") or self.address[0]

    def receive(self) -> None:
        """Read what has come. Raises Problem, after which the caller sends a refusal."""
        try:
            if isinstance(self._body, SizedBody):
                received = self._body.receive(self.sock)
            else:
                data = self.sock.recv(limits.RECEIVE_BYTES)
                received = len(data)
                self._input += data if self.state is not State.DRAINING else b""
        except BlockingIOError:
            return
        except OSError:
            received = 0
        if received:
            self._advance()
        else:
            self.state = State.CLOSED

    def begin_body(self) -> None:
        """Read the body: its memory is reserved. Raises Problem."""
        self._body = ChunkedBody(self._max_body) if self.request.length is None else SizedBody(self.request.length)
        self._received = 0
        self._enter(State.BODY, self._rate[0])
        if self.request.expects_continue and not self._input:
            self._outbox.append(wsgi.CONTINUE)
            self.flush()
        self._advance()

    def respond(self, answer: bytes, keep_alive: bool) -> None:
        """Answer the request; what the client does not take at once waits for `flush`. Raises Problem as it does."""
        self.request, self._body, self._closes = head.NO_REQUEST, None, not keep_alive
        self._account.release(self)
        self._outbox.append(answer)
        self._enter(State.SENDING, limits.SEND_SECONDS)
        self.flush()

    def flush(self) -> None:
        """Send on. Once all is sent, parse the next request. Raises Problem if that is malformed."""
        try:
            if not self._outbox.send() or self.state is not State.SENDING:
                return
            if self._closes:
                self._input.clear()
                self.sock.shutdown(socket.SHUT_WR)
                self._enter(State.DRAINING, self._drain)
                return
        except OSError:
            self._outbox.clear()
            if self.state is not State.READY:  # then the application has the request, and its answer finds out
                self.state = State.CLOSED
            return
        self._enter(State.HEAD, self._idle)
        self._advance()

    def expire(self, now: float) -> None:
        """The deadline has passed. Raises Problem if the client is still to be told so."""
        if self.state is State.RESERVE:
            raise to_problem(BusyError())
        if self.state is State.BODY and self._body and self._body.received - self._received >= self._rate[1]:
            self._received = self._body.received
            self.deadline = now + self._rate[0]
        elif self.state is State.BODY or (self.state is State.HEAD and not self.is_idle):
            raise Problem(408, "the request did not arrive in time: send it again")
        elif self.state is not State.READY:
            self.state = State.CLOSED

    def stop(self, now: float) -> None:
        """The server stops: end soon, but answer a request that is on its way."""
        self._rate = limits.STOP_STALL_SECONDS, 1
        self._received = self._body.received if self._body else 0
        self._idle = self._drain = limits.STOP_SECONDS
        if self.state is not State.READY:
            self.deadline = min(self.deadline, now + (self._idle if self.is_idle else self._rate[0]))

    def close(self) -> None:
        """Close the socket and drop all memory."""
        self.state, self.request, self._body = State.CLOSED, head.NO_REQUEST, None
        self._input.clear()
        self._outbox.clear()
        self._account.release(self)
        self.count()
        self.sock.close()

    def count(self) -> None:
        """Report to the account what is buffered now."""
        self._account.count(self, len(self._input) + len(self._outbox))

    def _advance(self) -> None:
        """Go on with what has been read."""
        if self.state is State.HEAD and self._input:
            self._parse_head()
        if self.state is State.BODY and self._body:
            self._body.take(self._input)
            if self._body.is_whole:
                self._complete(self._body.file(), self._body.received)
            elif isinstance(self._body, ChunkedBody) and self._body.is_too_large:
                self._complete(io.BytesIO(), self._max_body + 1)

    def _parse_head(self) -> None:
        if self.deadline > self.since + limits.HEAD_SECONDS and not self.is_idle:
            self._enter(State.HEAD, limits.HEAD_SECONDS)
        lines = head.take(self._input)
        if lines is None:
            return
        self.method = "HEAD" if lines.startswith(b"HEAD ") else ""  # even if the head is malformed
        self.request = request = head.parse(lines)
        if request.length == 0:
            self._complete(io.BytesIO(), 0)
        elif request.length is not None and request.length > self._max_body:
            self._complete(io.BytesIO(), request.length)
        else:
            self._enter(State.RESERVE, limits.RESERVE_SECONDS)
            if self._account.reserve(self, self._max_body if request.length is None else request.length):
                self.begin_body()

    def _complete(self, body: io.BytesIO, size: int) -> None:
        """The request can be answered. A body over the limit is left out: the application sees its length."""
        self.request.environ["wsgi.input"] = body
        if self.request.length != 0:
            self.request.environ["CONTENT_LENGTH"] = str(size)
        self.request.keep_alive = self.request.keep_alive and size <= self._max_body
        self._body = None
        self._account.resize(self, min(self.reserved, size))
        self._enter(State.READY, math.inf)
        self.arrived = self.since

    def _enter(self, state: State, seconds: float) -> None:
        self.state, self.since = state, time.monotonic()
        self.deadline = self.since + seconds
