"""Which request is answered next, and which one is refused because of overload.

Requests without a body, such as /health, are quick: they come first, up to eight in a row. The others are images, in
order of arrival. They overlap if one takes long, because a request of several images gives way to others between two
of them.
"""

import math
from collections import Counter, deque

from app.worker import limits
from app.worker.connection import Connection


class RequestQueue:
    """Only the thread that runs the event loop uses it."""

    def __init__(self, threads: int, max_bytes: int):
        """At most `threads` uploads are with the application at once, and `max_bytes` of bodies unless it is one.

        The bytes are bounded because taking a body apart copies it.
        """
        self._threads, self._max_bytes = threads, max_bytes
        self._quick: deque[Connection] = deque()
        self._quick_in_row = 0
        self._uploads: deque[Connection] = deque()
        self._running: dict[Connection, tuple[str, float, int]] = {}  # -> client, start, bytes
        self._running_bytes = 0
        self._by_client: Counter[str] = Counter()  # uploads, queued or running
        self._seconds = 0.01  # for one upload, recently
        self._last_done = 0.0

    def add(self, connection: Connection) -> None:
        """Queue a connection whose request is whole, or mark it as late if it would wait too long."""
        if connection.request.length == 0:
            self._quick.append(connection)
            return
        ahead = len(self._uploads) + len(self._running)
        is_long = ahead * self._seconds > limits.ADMIT_SECONDS
        connection.is_late = is_long and self._by_client[connection.client] >= limits.ADMIT_ALWAYS
        if connection.is_late:
            self._quick.append(connection)
        else:
            self._by_client[connection.client] += 1
            self._uploads.append(connection)

    def can_start(self, now: float) -> bool:
        return self._first(now) is not None

    def pop(self, now: float) -> tuple[Connection, float] | None:
        """The connection to answer next, and the seconds that it was queued, infinite if it is too late for that."""
        connection = self._first(now)
        if not connection:
            return None
        if self._quick and connection is self._quick[0]:
            self._quick.popleft()
            self._quick_in_row += 1
            return connection, math.inf if connection.is_late else now - connection.arrived
        self._quick_in_row = 0
        self._uploads.remove(connection)
        self._running[connection] = connection.client, now, connection.reserved
        self._running_bytes += connection.reserved
        seconds = now - connection.arrived
        return connection, math.inf if seconds > limits.QUEUE_SECONDS else seconds

    def done(self, connection: Connection, now: float) -> None:
        """The connection's request has been answered."""
        connection.is_late = False
        if connection not in self._running:
            return
        client, started, size = self._running.pop(connection)
        self._running_bytes -= size
        self._by_client[client] -= 1
        if not self._by_client[client]:
            del self._by_client[client]
        self._seconds += 0.1 * (now - max(started, self._last_done) - self._seconds)
        self._last_done = now

    def _first(self, now: float) -> Connection | None:
        if self._quick and self._quick_in_row < limits.QUICK_IN_ROW:
            return self._quick[0]
        return self._first_upload(now) or (self._quick[0] if self._quick else None)

    def _first_upload(self, now: float) -> Connection | None:
        has_thread = len(self._running) < self._threads
        for connection in self._uploads:
            fits = not self._running or self._running_bytes + connection.reserved <= self._max_bytes
            if (has_thread and fits) or now - connection.arrived > limits.QUEUE_SECONDS:
                return connection
        return None
