"""The gunicorn worker. One thread, the leader, runs the event loop and answers requests itself, one after the other.

Nothing is handed from thread to thread then, and slow clients occupy no thread. If an answer takes long, the main
thread lets a new leader continue the loop; the old one posts its answer to the loop and ends.

The threads share three things: `_leader`, which only the main thread sets; the time at which the leader began its
answer; and the loop's queue of posted answers.
"""

import logging
import os
import select
import socket
import threading
import time

from gunicorn.workers import base

from app import memory
from app.worker import limits, wsgi
from app.worker.account import Account
from app.worker.connection import Connection
from app.worker.loop import Loop
from app.worker.request_queue import RequestQueue

_TICK_SECONDS = 0.015  # how often the main thread looks at the leader
_LONG_SECONDS = 0.025  # an answer that takes longer than this does not hold up the others: the leader is replaced
_SPARE_THREADS = (
    8  # beyond those of uploads: the main thread, the leader, and those that answer requests without a body
)
_log = logging.getLogger(__name__)


class _Leader(threading.Thread):
    """The thread that runs the event loop. `since` is when it began to answer a request, None while it does not."""

    def __init__(self, worker: "Worker"):
        super().__init__(daemon=True)
        self.since: float | None = None
        self._worker = worker

    def run(self) -> None:
        self._worker.lead(self)


class Worker(base.Worker):
    """Uses gunicorn's settings threads, keepalive and graceful_timeout."""

    def run(self) -> None:
        """Serve until told to stop, then finish what has begun. Runs in the main thread."""
        max_body = self.wsgi.config["MAX_CONTENT_LENGTH"]
        body_limit = limits.body_budget(max_body, memory.limit(), self.cfg.workers)
        account = Account(body_limit, limits.BUFFER_BYTES)
        queue = RequestQueue(self.cfg.threads, max_body)
        listeners = [listener.sock for listener in self.sockets]

        def connect(sock: socket.socket, address: tuple) -> Connection:
            return Connection(sock, address, account, max_body, self.cfg.keepalive)

        self._loop = Loop(self.age, listeners, account, queue, connect)
        host, port = listeners[0].getsockname()[:2]
        self._server = {"SERVER_NAME": host, "SERVER_PORT": str(port)}
        self._lock = threading.Lock()
        self._finished = threading.Event()
        self._replace_leader()
        while self.alive and self.ppid == os.getppid():
            self._tick()
        self._loop.stop()
        deadline = time.monotonic() + self.cfg.graceful_timeout
        while not self._finished.is_set() and time.monotonic() < deadline:
            self._tick()

    def lead(self, leader: _Leader) -> None:
        """Run the event loop and answer requests until the thread `leader` is replaced."""
        try:
            while found := self._loop.next():
                leader.since = time.monotonic()
                connection, answer, keep_alive = self._answer(*found)
                del found
                with self._lock:
                    leader.since = None
                    is_replaced = self._leader is not leader
                if is_replaced:
                    self._loop.post(connection, answer, keep_alive)
                    return
                self._loop.finish(connection, answer, keep_alive)
            self._finished.set()
        except Exception:  # a worker without a leader would hang: end it, and gunicorn starts another one
            _log.exception("the event loop failed")
            self.alive = False
            self._finished.set()

    def _tick(self) -> None:
        self.notify()
        with self._lock:
            since = self._leader.since
            is_long = since is not None and time.monotonic() - since > _LONG_SECONDS
            if is_long and threading.active_count() < self.cfg.threads + _SPARE_THREADS:
                self._replace_leader()
        if select.select([self.PIPE[0]], [], [], _TICK_SECONDS)[0]:  # a signal has come
            os.read(self.PIPE[0], 4096)

    def _replace_leader(self) -> None:
        self._leader = _Leader(self)
        self._leader.start()

    def _answer(self, connection: Connection, queue_seconds: float) -> tuple[Connection, bytes, bool]:
        """Call the application. Returns the connection, its answer, and whether the connection is kept."""
        request = connection.request
        environ = request.environ
        environ |= self._server
        environ["REMOTE_ADDR"] = connection.address[0]
        environ["quintet.queue_seconds"] = queue_seconds
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        try:
            status, headers, content = wsgi.call(self.wsgi, environ)
        except Exception:  # Flask answers what its views raise: this is a fault in what surrounds them
            _log.exception("%s %s failed", method, path)
            status, headers, content = "500 Internal Server Error", [], b""
        keep_alive = request.keep_alive and self.alive
        return connection, wsgi.answer(method, status, headers, content, keep_alive), keep_alive
