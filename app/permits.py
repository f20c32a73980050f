"""A few things lent to many threads, first come, first served."""

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

Lent = TypeVar("Lent")


class Busy(Exception):
    """All permits stayed taken for as long as the caller was ready to wait."""


class Permits(Generic[Lent]):
    """Hand over in the order of asking.

    A queue.Queue lets the thread that has just put something back take it again before those who wait have woken.
    """

    def __init__(self, things: Iterable[Lent]):
        self._lock = threading.Lock()
        self._free = list(things)
        self._waiting: deque[_Ticket[Lent]] = deque()

    @contextmanager
    def one(self, wait: float) -> Iterator[Lent]:
        """Lend one, waiting up to `wait` seconds for it. Raises Busy."""
        thing = self._take(wait)
        try:
            yield thing
        finally:
            self._give_back(thing)

    def _take(self, wait: float) -> Lent:
        with self._lock:
            if self._free:
                return self._free.pop()
            ticket = _Ticket()
            self._waiting.append(ticket)
        if not ticket.called.wait(wait):
            with self._lock:
                if not ticket.called.is_set():  # else it was called between the two lines
                    self._waiting.remove(ticket)
                    raise Busy
        return ticket.thing

    def _give_back(self, thing: Lent) -> None:
        with self._lock:
            if not self._waiting:
                self._free.append(thing)
                return
            ticket = self._waiting.popleft()
            ticket.thing = thing
            ticket.called.set()


class _Ticket(Generic[Lent]):
    """One thread's place in the line; `thing` is there once it is called."""

    def __init__(self) -> None:
        self.called = threading.Event()
        self.thing: Lent
