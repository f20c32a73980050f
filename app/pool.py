"""A fixed set of resources shared by many threads, handed out in the order of the requests."""

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

Resource = TypeVar("Resource")


class BusyError(Exception):
    """No resource became free within the caller's timeout."""


class Pool(Generic[Resource]):
    """A first-in, first-out resource pool.

    A `queue.Queue` is not enough: it lets the thread that has just returned a resource take it again before the
    waiting threads have woken up.
    """

    def __init__(self, resources: Iterable[Resource]):
        self._lock = threading.Lock()
        self._free = list(resources)
        self._waiters: deque[_Waiter[Resource]] = deque()

    @contextmanager
    def acquire(self, timeout: float) -> Iterator[Resource]:
        """Yield a resource, waiting up to `timeout` seconds for one, and return it to the pool. Raises BusyError."""
        resource = self._take(timeout)
        try:
            yield resource
        finally:
            self._release(resource)

    def _take(self, timeout: float) -> Resource:
        with self._lock:
            if self._free:
                return self._free.pop()
            waiter: _Waiter[Resource] = _Waiter()
            self._waiters.append(waiter)
        if not waiter.assigned.wait(timeout):
            with self._lock:
                if not waiter.assigned.is_set():  # it may have been assigned since the wait timed out
                    self._waiters.remove(waiter)
                    raise BusyError
        return waiter.resource

    def _release(self, resource: Resource) -> None:
        with self._lock:
            if not self._waiters:
                self._free.append(resource)
                return
            waiter = self._waiters.popleft()
            waiter.resource = resource
            waiter.assigned.set()


class _Waiter(Generic[Resource]):
    """A waiting thread; `resource` is set before `assigned`."""

    def __init__(self) -> None:
        self.assigned = threading.Event()
        self.resource: Resource
