"""Where newcomers come in, or are left for a moment to a worker that has fewer connections."""

import contextlib
import math
import selectors
import socket
import time
from collections.abc import Iterator

from app.worker import census

_LEAVE = 0.005  # seconds that newcomers are left to a less busy worker
_MORE = 1.25  # so many times the fewest connections are not worth leaving anybody to others

Newcomer = tuple[socket.socket, tuple]  # and the address that it comes from


class Door:
    """The listening sockets of a worker. `busy` is the worker's number of lively connections."""

    def __init__(self, worker: int, listeners: list[socket.socket], selector: selectors.BaseSelector):
        self.closed = False
        self.again = math.inf  # when to look for those who were left to others
        self._worker, self._listeners, self._selector = worker, listeners, selector
        self._watched = False
        self._busy = 0
        self._watch(True)
        census.report(worker, 0)

    @property
    def busy(self) -> int:
        return self._busy

    @busy.setter
    def busy(self, connections: int) -> None:
        self._busy = connections
        if not self.closed:
            census.report(self._worker, connections)

    def newcomers(self) -> Iterator[Newcomer]:
        """Let in who waits, one by one, as long as no other worker has clearly fewer connections."""
        for listener in self._listeners:
            while self._busy <= _MORE * census.fewest():
                try:
                    yield listener.accept()
                except BlockingIOError:
                    break
                except OSError:  # no file descriptor is left
                    self._leave()
                    return
            else:
                self._leave()

    def left_over(self) -> Iterator[Newcomer]:
        """Let in one of those whom the less busy worker has not taken: it must be at a large picture."""
        self.again = math.inf
        for listener in self._listeners:
            with contextlib.suppress(OSError):
                yield listener.accept()
        self._watch(not self.closed)

    def close(self) -> Iterator[Newcomer]:
        """Let in who has come already, and nobody after that."""
        self.closed = True
        census.leave(self._worker)
        self._watch(False)
        for listener in self._listeners:
            with contextlib.suppress(OSError):
                while True:
                    yield listener.accept()
            listener.close()

    def _leave(self) -> None:
        self._watch(False)
        self.again = time.monotonic() + _LEAVE

    def _watch(self, wanted: bool) -> None:
        if wanted == self._watched:
            return
        self._watched = wanted
        for listener in self._listeners:
            if wanted:
                self._selector.register(listener, selectors.EVENT_READ, self)
            else:
                self._selector.unregister(listener)
