"""The event loop: accepts, reads and writes for all connections, and gives out those whose request is whole."""

import logging
import os
import selectors
import socket
import time
from collections import deque
from collections.abc import Iterator

from app import memory, problems
from app.pool import BusyError
from app.problems import Problem
from app.worker import http1
from app.worker.connection import Connection
from app.worker.door import Door, Newcomer

_SWEEP = 0.25  # seconds between two looks for connections whose time is up
_FAREWELL = 1.0  # seconds that idle connections stay when the server stops: a request may be on its way
_log = logging.getLogger(__name__)
_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class Loop:
    """For one thread at a time, but for `give_back` and `stop`."""

    def __init__(self, number: int, listeners: list[socket.socket], max_body: int, idle: float):
        """`number`: the worker's. `idle`: seconds that a connection may stay without a request. `max_body`: bytes."""
        self._max_body, self._idle = max_body, idle
        self._selector = selectors.DefaultSelector()
        self._open: set[Connection] = set()
        self._ready: deque[Connection] = deque()
        self._returned: deque[Connection] = deque()
        self._held = 0  # bytes of all bodies
        self._worked = False  # since memory was released
        self._stops = False
        self._next_sweep = 0.0
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._woken, False)
        self._selector.register(self._woken, _READ)
        self._door = Door(number, listeners, self._selector)

    def next(self) -> Connection | None:
        """Wait for a connection with a request that can be answered. None after a stop, when all are gone."""
        while True:
            until = min(self._next_sweep, self._door.again)
            patience = 0 if self._ready else max(0, until - time.monotonic())
            for key, events in self._selector.select(patience):
                if isinstance(key.data, Connection):
                    self._serve(key.data, events)
                elif key.data is self._door:
                    self._welcome(self._door.newcomers())
                else:
                    self._wake_up()
            now = time.monotonic()
            if now >= self._door.again:
                self._welcome(self._door.left_over())
            if now >= self._next_sweep:
                self._sweep()
            if self._ready:
                return self._ready.popleft()
            if self._door.closed and not self._open:
                return None

    def take_back(self, connection: Connection) -> None:
        """Go on with a connection that `next` gave out, its request answered."""
        self._follow_up(connection)

    def give_back(self, connection: Connection) -> None:
        """The same, from any thread, for a connection that was forgotten meanwhile."""
        self._returned.append(connection)
        os.write(self._wake, b"1")

    def forget(self, connection: Connection) -> None:
        """Leave a connection that `next` gave out alone until it is given back."""
        self._watch(connection, 0)

    def stop(self) -> None:
        """Accept nobody any more, and answer what has begun. From any thread."""
        self._stops = True
        os.write(self._wake, b"1")

    def _wake_up(self) -> None:
        """See to what other threads have asked for."""
        os.read(self._woken, 4096)
        while self._returned:
            self._follow_up(self._returned.popleft())
        if self._stops and not self._door.closed:
            self._welcome(self._door.close())
            soon = time.monotonic() + _FAREWELL
            for connection in self._open:
                if connection.is_idle:
                    connection.deadline = soon

    def _welcome(self, newcomers: Iterator[Newcomer]) -> None:
        for sock, address in newcomers:
            sock.setblocking(False)
            connection = Connection(sock, address, self._max_body, self._idle)
            self._open.add(connection)
            self._watch(connection, _READ)
            self._door.busy += 1

    def _serve(self, connection: Connection, events: int) -> None:
        """Write to it or read from it."""
        try:
            if events & _WRITE:
                connection.flush()
            elif connection.is_ready:  # whatever comes while its request waits for an answer can wait, too
                self._watch(connection, 0)
                return
            else:
                connection.receive()
        except Problem as problem:
            self._refuse(connection, problem)
        self._follow_up(connection)

    def _follow_up(self, connection: Connection) -> None:
        """Do what the new state of the connection asks for."""
        if connection.is_ready:
            self._ready.append(connection)
            self._worked = True
        elif request := connection.request:
            if self._held + connection.held - connection.counted > 2 * self._max_body:
                self._refuse(connection, problems.to_problem(BusyError()))
            elif request.expects_continue:
                connection.say_continue()
        self._held += connection.held - connection.counted
        connection.counted = connection.held
        if connection.closed:
            self._end(connection)
        else:
            self._watch(connection, _READ * connection.reads | _WRITE * connection.writes)

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
        """Answer without the app, and close."""
        connection.send(http1.refusal(problem), last=True)
        _log.info("request from %s refused: %d, %s", connection.address[0], problem.status, problem.detail)

    def _end(self, connection: Connection) -> None:
        self._watch(connection, 0)
        self._held -= connection.counted
        self._open.discard(connection)
        connection.sock.close()
        self._door.busy -= connection.is_lively

    def _sweep(self) -> None:
        """End the connections whose time is up, and see which are still lively."""
        now = time.monotonic()
        self._next_sweep = now + _SWEEP
        for connection in [each for each in self._open if each.deadline < now]:
            if connection.is_late:
                self._refuse(connection, Problem(408, "the request did not come in time: send it again"))
            else:
                connection.closed = True
            self._follow_up(connection)
        for connection in self._open:  # idle and slow ones are no work
            connection.is_lively = connection.is_ready or connection.arrived > now - _SWEEP
        self._door.busy = sum(connection.is_lively for connection in self._open)
        if self._worked and not self._door.busy:
            self._worked = False
            memory.release()
