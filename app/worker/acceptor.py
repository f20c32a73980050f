"""Accept connections, or leave them for a moment to a worker with fewer active connections.

Without this, eight connections went 8:0 or 7:1 to two workers as often as not, and half of the CPUs had nothing to do.
"""

import math
import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import suppress

from app.worker import load_table

_LEAVE_SECONDS = 0.005  # pending connections are left to a less loaded worker this long
_UNEVEN = 4  # active connections more than the least loaded worker has, and more than three times as many: uneven
_UNEVEN_LOOKS = 2  # in a row, until a connection is moved at each look: half a second

PendingConnection = tuple[socket.socket, tuple]  # and the address of the peer


class Acceptor:
    """The listening sockets of a worker, and its entry in the load table."""

    def __init__(self, worker: int, listeners: list[socket.socket], selector: selectors.BaseSelector):
        self.closed = False
        self.retry_at = math.inf  # when to look for connections that were left to others
        self._worker, self._listeners, self._selector = worker, listeners, selector
        self._active = self._uneven = 0
        self._is_watched = False
        self._watch(True)
        load_table.report(worker, 0)

    def set_active(self, connections: int) -> None:
        """Report the worker's number of active connections."""
        self._active = connections
        if not self.closed:
            load_table.report(self._worker, connections)

    def look(self) -> None:
        """Compare with the least loaded worker; called a few times a second."""
        fewest = load_table.fewest()
        is_uneven = self._active - fewest >= _UNEVEN and self._active > 3 * fewest
        self._uneven = self._uneven + 1 if is_uneven else 0

    def moves_one(self) -> bool:
        """Whether a connection should be closed after its answer, so that the client comes back to another worker."""
        if self._uneven < _UNEVEN_LOOKS:
            return False
        self._uneven -= 1
        return True

    def accept(self) -> Iterator[PendingConnection]:
        """Accept one connection, unless another worker has fewer.

        One, because the counts of the others may be about to change: after a reconnection of all clients, the worker
        that has noticed it first would take them all.
        """
        if self._active > 1.25 * load_table.fewest():
            self.pause(_LEAVE_SECONDS)
            return
        yield from self._accept_one()

    def retry(self) -> Iterator[PendingConnection]:
        """Accept one connection that the less loaded worker has not accepted: it must be busy with a large image."""
        self.retry_at = math.inf
        yield from self._accept_one()
        self._watch(not self.closed)

    def close(self) -> Iterator[PendingConnection]:
        """Accept what is pending, and nothing after that. Other processes keep their listening sockets."""
        self.closed = True
        self.retry_at = math.inf
        load_table.remove(self._worker)
        self._watch(False)
        for listener in self._listeners:
            with suppress(OSError):
                while True:
                    yield listener.accept()
            listener.close()

    def pause(self, seconds: float) -> None:
        if not self.closed:
            self._watch(False)
            self.retry_at = time.monotonic() + seconds

    def _accept_one(self) -> Iterator[PendingConnection]:
        for listener in self._listeners:
            try:
                yield listener.accept()
            except BlockingIOError:
                continue
            except OSError:  # no file descriptor is left
                self.pause(0.25)

    def _watch(self, wanted: bool) -> None:
        if wanted == self._is_watched:
            return
        self._is_watched = wanted
        for listener in self._listeners:
            if wanted:
                self._selector.register(listener, selectors.EVENT_READ, self)
            else:
                self._selector.unregister(listener)
