"""The event loop: accepts, reads and writes for all connections, and gives out those whose request can be answered."""

import logging
import os
import resource
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator

from app import memory
from app.problems import Problem
from app.worker import limits, wsgi
from app.worker.acceptor import Acceptor, PendingConnection
from app.worker.account import Account
from app.worker.connection import Connection, State
from app.worker.request_queue import RequestQueue

_SWEEP_SECONDS = 0.25  # between two looks for connections whose deadline has passed
_ACTIVE_SECONDS = 1.0  # a connection is active this long after its latest request
_RESERVED_FILES = 64  # file descriptors that are not connections
_log = logging.getLogger(__name__)
_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


Connect = Callable[[socket.socket, tuple], Connection]


class Loop:
    """One thread at a time runs it. Other threads call only `post` and `stop`."""

    def __init__(
        self, worker: int, listeners: list[socket.socket], account: Account, queue: RequestQueue, connect: Connect
    ):
        """`worker`: its number, for the load table. `connect` makes a connection of a socket that was accepted."""
        self._account, self._queue, self._connect = account, queue, connect
        self._selector = selectors.DefaultSelector()
        self._connections: set[Connection] = set()
        self._max_connections = min(limits.CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _RESERVED_FILES)
        self._posted: deque[tuple[Connection, bytes, bool]] = deque()
        self._stops = self._used_memory = False
        self._next_sweep = 0.0
        self._active = 0
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._woken, False)
        self._selector.register(self._woken, _READ)
        self._acceptor = Acceptor(worker, listeners, self._selector)

    def next(self) -> tuple[Connection, float] | None:
        """Wait for a request that can be answered: its connection, and the seconds that it was queued.

        None after a stop, when all connections are gone.
        """
        while True:
            self._grant()
            now = time.monotonic()
            until = min(self._next_sweep, self._acceptor.retry_at)
            timeout = 0 if self._queue.can_start(now) else max(0, until - now)
            for key, events in self._selector.select(timeout):
                if isinstance(key.data, Connection):
                    self._handle(key.data, events)
                elif key.data is self._acceptor:
                    self._accept(self._acceptor.accept())
                else:
                    self._handle_wake_up()
            now = time.monotonic()
            if now >= self._acceptor.retry_at:
                self._accept(self._acceptor.retry())
            if now >= self._next_sweep:
                self._sweep(now)
            if found := self._queue.pop(now):
                if not found[0].buffered and self._acceptor.moves_one():
                    found[0].request.keep_alive = False
                return found
            if self._acceptor.closed and not self._connections:
                return None

    def finish(self, connection: Connection, answer: bytes, keep_alive: bool) -> None:
        """Send the answer to the request of a connection that `next` gave out."""
        self._queue.done(connection, time.monotonic())
        self._used_memory = True
        try:
            connection.respond(answer, keep_alive)
        except Problem as problem:
            self._refuse(connection, problem)
        self._follow_up(connection)

    def post(self, connection: Connection, answer: bytes, keep_alive: bool) -> None:
        """`finish` from a thread that does not run the loop."""
        self._posted.append((connection, answer, keep_alive))
        os.write(self._wake, b"1")

    def stop(self) -> None:
        """From any thread: accept no more connections, and answer the requests that have begun."""
        self._stops = True
        os.write(self._wake, b"1")

    def _handle_wake_up(self) -> None:
        os.read(self._woken, 4096)
        while self._posted:
            self.finish(*self._posted.popleft())
        if self._stops and not self._acceptor.closed:
            self._accept(self._acceptor.close())
            now = time.monotonic()
            for connection in self._connections:
                connection.stop(now)

    def _accept(self, pending: Iterator[PendingConnection]) -> None:
        for sock, address in pending:
            sock.setblocking(False)
            connection = self._connect(sock, address)
            self._connections.add(connection)
            self._watch(connection, _READ)
            self._set_active(self._active + 1)
            if len(self._connections) > self._max_connections:
                self._shed()

    def _grant(self) -> None:
        """Read the bodies that have waited for memory, as far as it is free now."""
        while connection := self._account.grant_next():
            try:
                connection.begin_body()
            except Problem as problem:
                self._refuse(connection, problem)
            self._follow_up(connection)

    def _handle(self, connection: Connection, events: int) -> None:
        was_ready = connection.state is State.READY
        try:
            if events & _WRITE:
                connection.flush()
            elif connection.interest & _READ:
                connection.receive()
        except Problem as problem:
            self._refuse(connection, problem)
        self._follow_up(connection, was_ready)

    def _follow_up(self, connection: Connection, was_ready: bool = False) -> None:
        """Do what the state of the connection asks for after it was read from, written to, answered or granted."""
        connection.count()
        if connection.state is State.CLOSED:
            self._close(connection)
        else:
            if connection.state is State.READY and not was_ready:
                self._queue.add(connection)
            self._watch(connection, connection.interest)
        while self._account.buffers > self._account.buffer_limit and self._shed():
            pass

    def _watch(self, connection: Connection, events: int) -> None:
        if events == connection.events:
            return
        if not connection.events:
            self._selector.register(connection.sock, events, connection)
        elif not events:
            self._selector.unregister(connection.sock)
        else:
            self._selector.modify(connection.sock, events, connection)
        connection.events = events

    def _refuse(self, connection: Connection, problem: Problem) -> None:
        """Answer without the application, and close."""
        connection.respond(wsgi.refusal(connection.method, problem), keep_alive=False)
        _log.info("request from %s refused: %d, %s", connection.address[0], problem.status, problem.detail)

    def _shed(self) -> bool:
        """Close the idle connection, or else the unfinished head or unread answer, that has been there longest."""
        sheddable = [each for each in self._connections if each.state in (State.HEAD, State.SENDING, State.DRAINING)]
        if not sheddable:
            return False
        self._close(min(sheddable, key=lambda each: (not each.is_idle, each.since)))
        return True

    def _close(self, connection: Connection) -> None:
        self._watch(connection, 0)
        self._connections.discard(connection)
        connection.close()
        self._set_active(self._active - 1)
        self._used_memory = True

    def _set_active(self, connections: int) -> None:
        self._active = max(0, connections)
        self._acceptor.set_active(self._active)

    def _sweep(self, now: float) -> None:
        """End what is late, grant memory that is free again, and count the active connections."""
        self._next_sweep = now + _SWEEP_SECONDS
        for connection in [each for each in self._connections if each.deadline < now]:
            try:
                connection.expire(now)
            except Problem as problem:
                self._refuse(connection, problem)
            self._follow_up(connection)
        recent = now - _ACTIVE_SECONDS
        self._set_active(sum(each.state is State.READY or each.arrived > recent for each in self._connections))
        self._acceptor.look()
        if self._used_memory and not any(each.state is State.READY for each in self._connections):
            self._used_memory = False
            memory.release()
