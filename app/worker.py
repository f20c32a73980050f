"""gunicorn's threaded worker, for clients that are fast, slow, or leave without a word.

Five things differ. A thread stays with its connection while requests keep coming: handing it to the main thread and
back costs two switches and a dozen system calls a request. A connection is closed by its own thread: waiting for the
other side may take two seconds, in which the main thread accepts nobody. And a request that is not through after a
minute is ended: its thread is one of a limited number. A worker that is to stop listens no more, at once. And a new
connection goes to the worker that is less busy: left to chance, eight of them went 1:7 or 2:6 to two workers in half of
ten trials; or all met the worker whose threads slow clients had taken, and were not answered.
"""

import contextlib
import math
import select
import socket
import time

from gunicorn import util
from gunicorn.workers.gthread import TConn, ThreadWorker

_STAY = 0.25  # seconds until a kept-alive connection goes back to the main thread, where waiting costs no thread
_LEAVE = 0.00015  # seconds, times the square root of the threads taken: 0.3 ms beside 4, 1.5 ms beside 100
_LONGEST = 60  # seconds for a whole request: 20 MB at 2.7 Mbit/s


class Worker(ThreadWorker):
    """As above; settings are gunicorn's."""

    def __init__(self, *args: object, **kwargs: object):
        super().__init__(*args, **kwargs)
        self._under_way: dict[TConn, float] = {}

    def accept(self, listener: socket.socket) -> None:
        """Accept one connection, but leave it to a less busy worker for a moment. Runs in the main thread."""
        time.sleep(math.sqrt(self._threads_taken()) * _LEAVE)
        super().accept(listener)
        if self._threads_taken() >= self.cfg.threads:
            self.set_accept_enabled(False)

    def set_accept_enabled(self, enabled: bool) -> None:
        """Accept nobody who would have to wait for a thread.

        Stop listening for good when the worker is to stop: whoever comes then is refused, not left waiting.
        """
        super().set_accept_enabled(enabled and self._threads_taken() < self.cfg.threads)
        if self.alive:
            return
        soon = time.monotonic() + 0.1
        for listener in self.sockets:
            while select.select([listener], [], [], 0)[0] and time.monotonic() < soon:  # who came before is let in
                super().accept(listener)
            listener.close()

    def _threads_taken(self) -> int:
        return self.nr_conns - len(self.keepalived_conns) - len(self.pending_conns)

    def handle(self, conn: TConn) -> object:
        """Answer the connection's requests. Runs in a thread of the pool."""
        while True:
            self._under_way[conn] = time.monotonic()
            try:
                outcome = super().handle(conn)
            finally:
                del self._under_way[conn]
            if outcome is False:
                _close(conn.sock)
            stay = outcome is True and self.alive and self.nr_conns < self.cfg.threads
            if not stay or not _next_request_comes(conn):
                return outcome

    def murder_pending(self) -> None:
        """End the requests that take too long, too. Runs in the main thread, once a second at least."""
        super().murder_pending()
        latest = time.monotonic() - _LONGEST
        for conn, since in list(self._under_way.items()):
            if since < latest:
                _end(conn.sock)


def _next_request_comes(conn: TConn) -> bool:
    if conn.parser.unreader.buf.getvalue():
        return True
    poll = select.poll()
    poll.register(conn.sock, select.POLLIN)
    return bool(poll.poll(_STAY * 1000))


def _close(sock: socket.socket) -> None:
    """Say that no more comes, and read what still does for a while, so that the answer is not lost to a reset.

    gunicorn closes the socket again, in the main thread, and finds nothing to wait for.
    """
    with contextlib.suppress(OSError), socket.socket(fileno=socket.dup(sock.fileno())) as same:
        util.close_graceful(same)
    _end(sock)


def _end(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
