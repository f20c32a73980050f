"""Bytes that are to be sent to a client, in order. It is only appended to, so no answer can replace another one."""

import socket
from collections import deque


class Outbox:
    """`len` is the number of bytes that are not sent yet."""

    def __init__(self, sock: socket.socket):
        self._sock = sock
        self._parts: deque[memoryview] = deque()

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def append(self, data: bytes) -> None:
        self._parts.append(memoryview(data))

    def clear(self) -> None:
        self._parts.clear()

    def send(self) -> bool:
        """Send as much as the socket takes. True if nothing is left. Raises OSError if the connection is lost."""
        try:
            while self._parts:
                part = self._parts[0]
                sent = self._sock.send(part)
                if sent == len(part):
                    self._parts.popleft()
                else:
                    self._parts[0] = part[sent:]
        except BlockingIOError:
            return False
        return True
