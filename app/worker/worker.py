"""gunicorn's worker: one thread runs the event loop and answers requests itself, one after the other.

That is as cheap as it gets: no request is handed from thread to thread, and slow clients cost no thread. What it cannot
do is look after the others while one picture takes long. So the main thread watches, and gives the loop to a new thread
when an answer takes longer than a twentieth of a second; the old one ends when its answer is sent. (Go's scheduler
takes processors away from threads in long system calls in the same way.)
"""

import logging
import math
import os
import select
import threading
import time

from gunicorn.workers import base

from app.worker import http1
from app.worker.connection import Connection
from app.worker.loop import Loop

_TICK = 0.05  # seconds
_log = logging.getLogger(__name__)


class Worker(base.Worker):
    """Settings are gunicorn's: threads, keepalive, graceful_timeout."""

    def run(self) -> None:
        """Serve until told to stop, then finish what has begun. Runs in the main thread."""
        self._loop = Loop(
            self.age,
            [listener.sock for listener in self.sockets],
            self.wsgi.config["MAX_CONTENT_LENGTH"],
            self.cfg.keepalive,
        )
        host, port = self.sockets[0].getsockname()[:2]
        self._server = {"SERVER_NAME": host, "SERVER_PORT": str(port)}
        self._lock = threading.Lock()
        self._finished = threading.Event()
        self._threads = 0
        self._lead_anew()
        while self.alive and self.ppid == os.getppid():
            self._tick()
        self._loop.stop()
        until = time.monotonic() + self.cfg.graceful_timeout
        while not self._finished.is_set() and time.monotonic() < until:
            self._tick()

    def _tick(self) -> None:
        self.notify()
        with self._lock:
            overdue = self._since is not None and time.monotonic() - self._since > _TICK
            if overdue and self._threads < self.cfg.threads:
                self._loop.forget(self._at_hand)
                self._lead_anew()
        if select.select([self.PIPE[0]], [], [], _TICK)[0]:  # a signal has come
            os.read(self.PIPE[0], 4096)

    def _lead_anew(self) -> None:
        self._since = self._at_hand = None
        self._threads += 1
        self._leader = threading.Thread(target=self._lead, daemon=True)
        self._leader.start()

    def _lead(self) -> None:
        try:
            self._serve()
        except Exception:  # a worker without a leader would hang: better end it, and have another one started
            _log.exception("the event loop failed")
            self.alive = False
            self._finished.set()

    def _serve(self) -> None:
        """Answer requests until another thread has taken over. Runs in a thread of its own."""
        me = threading.current_thread()
        while connection := self._loop.next():
            self._at_hand, self._since = connection, time.monotonic()
            self._answer(connection)
            with self._lock:
                leads = self._leader is me
                if leads:
                    self._since = None
                else:
                    self._threads -= 1
            if not leads:
                self._loop.give_back(connection)
                return
            self._loop.take_back(connection)
        self._finished.set()

    def _answer(self, connection: Connection) -> None:
        request = connection.request
        environ = request.environ
        environ |= self._server
        environ["wsgi.input"] = request.body()
        environ["REMOTE_ADDR"] = connection.address[0]
        # The app lets a request wait only so long. In the last thread there is, it must not wait at all.
        is_last = self._threads == self.cfg.threads
        environ["quintet.queue_seconds"] = math.inf if is_last else time.monotonic() - connection.arrived
        keep_alive = request.keep_alive and request.whole and self.alive
        try:
            status, headers, content = http1.call(self.wsgi, environ)
        except Exception:  # Flask answers what its views raise: this is a fault in what surrounds them
            _log.exception("%s %s failed", environ["REQUEST_METHOD"], environ["PATH_INFO"])
            status, headers, content = "500 Internal Server Error", [], b""
        answer = http1.answer(environ["REQUEST_METHOD"], status, headers, content, keep_alive)
        connection.send(answer, last=not keep_alive)
