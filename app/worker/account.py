"""The account of the memory that the connections of one worker hold.

Bodies are reserved before they are read: a connection whose body does not fit is not read from until it does. Waiting
bodies are served in order of arrival, so that small ones do not delay a large one for ever. No connection waits for
memory in the middle of a body, so there are no circular waits.

Input that is not parsed and output that is not sent cannot be planned. They are counted, and the event loop closes
connections if they exceed `buffer_limit`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.worker.connection import Connection


class Account:
    """Limits and sums in bytes. Only the thread that runs the event loop uses it."""

    def __init__(self, body_limit: int, buffer_limit: int):
        self.body_limit, self.buffer_limit = body_limit, buffer_limit
        self.bodies = self.buffers = 0
        self._waiting: dict[Connection, int] = {}  # -> bytes, in order of arrival

    def reserve(self, connection: "Connection", size: int) -> bool:
        """Reserve `size` bytes for a body, or put the connection at the end of the queue for them."""
        if self._waiting or self.bodies + size > self.body_limit:
            self._waiting[connection] = size
            return False
        self.resize(connection, size)
        return True

    def grant_next(self) -> "Connection | None":
        """Reserve the bytes that the first connection in the queue waits for, if they are free now."""
        for connection, size in self._waiting.items():
            if self.bodies + size > self.body_limit:
                return None
            del self._waiting[connection]
            self.resize(connection, size)
            return connection
        return None

    def resize(self, connection: "Connection", size: int) -> None:
        """Change what is reserved: a body turned out to be smaller than it could have been."""
        self.bodies += size - connection.reserved
        connection.reserved = size

    def release(self, connection: "Connection") -> None:
        """The connection holds no body any more, and waits for none."""
        self._waiting.pop(connection, None)
        self.resize(connection, 0)

    def count(self, connection: "Connection", buffered: int) -> None:
        """Set the bytes of input and output that the connection holds now."""
        self.buffers += buffered - connection.buffered
        connection.buffered = buffered
