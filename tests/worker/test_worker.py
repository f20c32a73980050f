"""The threads of the worker: a new leader takes over while an answer takes long."""

import socket
import threading
import time
from types import SimpleNamespace

import pytest

from app.worker import Worker, load_table
from app.worker.worker import _Leader
from tests.worker.serving import GET, POST, TIMEOUT, read_until


class Application:
    """Answers POST only when `release` is set, and everything else at once."""

    def __init__(self):
        self.config = {"MAX_CONTENT_LENGTH": 1000}
        self.release = threading.Event()
        self.seconds = []

    def __call__(self, environ, start_response):
        if environ["REQUEST_METHOD"] == "POST":
            self.seconds.append(environ["quintet.queue_seconds"])
            assert self.release.wait(TIMEOUT)
        start_response("200 OK", [])
        return [environ["wsgi.input"].read() or b"quick"]


@pytest.fixture
def served(monkeypatch):
    """A worker in a thread of this process: gunicorn's own __init__ needs a whole server."""
    monkeypatch.setattr("os.getppid", lambda: 1)
    worker = Worker.__new__(Worker)
    worker.alive, worker.ppid, worker.age, worker.wsgi = True, 1, 1, Application()
    worker.cfg = SimpleNamespace(threads=4, keepalive=60, graceful_timeout=5, workers=1)
    worker.notify = lambda: None
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as silent:
        listener.setblocking(False)
        worker.sockets, worker.PIPE = [SimpleNamespace(sock=listener)], [silent.fileno()]
        worker.port = listener.getsockname()[1]
        monkeypatch.setattr("app.worker.worker.select", SimpleNamespace(select=_tick))
        thread = threading.Thread(target=worker.run)
        thread.start()
        yield worker
        worker.wsgi.release.set()
        worker.alive = False
        thread.join(TIMEOUT)
        load_table.remove(1)
        assert not thread.is_alive()


def _tick(*_):
    threading.Event().wait(0.005)
    return [], [], []


def connect(worker):
    return socket.create_connection(("127.0.0.1", worker.port), timeout=TIMEOUT)


def test_others_are_answered_while_an_answer_takes_long(served):
    with connect(served) as slow, connect(served) as quick:
        slow.sendall(POST)
        for _ in range(3):
            quick.sendall(GET)
            read_until(quick, b"quick")
        served.wsgi.release.set()
        assert read_until(slow, b"hello").startswith(b"HTTP/1.1 200 OK")


def test_connection_whose_answer_took_long_is_used_again(served):
    with connect(served) as slow, connect(served) as quick:
        slow.sendall(POST + POST)
        quick.sendall(GET)
        read_until(quick, b"quick")  # another thread leads now
        served.wsgi.release.set()
        answers = read_until(slow, b"hello")
        while answers.count(b"hello") < 2:
            answers += read_until(slow, b"hello")
        assert answers.count(b"HTTP/1.1 200 OK") == 2


def test_one_leader_is_left_after_answers_that_took_long(served):
    with connect(served) as slow, connect(served) as quick:
        slow.sendall(POST)
        quick.sendall(GET)
        read_until(quick, b"quick")
        assert leaders() == 2
        served.wsgi.release.set()
        read_until(slow, b"hello")
        deadline = time.monotonic() + TIMEOUT
        while leaders() > 1:
            assert time.monotonic() < deadline
            time.sleep(0.001)


def leaders():
    return sum(isinstance(thread, _Leader) for thread in threading.enumerate())


def test_health_is_answered_while_every_thread_is_busy(served):
    uploads = [connect(served) for _ in range(6)]
    with connect(served) as quick:
        for client in uploads:
            client.sendall(POST)
        quick.sendall(GET)
        read_until(quick, b"quick")
        served.wsgi.release.set()
        for client in uploads:
            with client:
                read_until(client, b"hello")
    assert len(served.wsgi.seconds) == 6
    assert max(served.wsgi.seconds) < TIMEOUT


def test_worker_whose_loop_fails_ends_so_that_another_one_is_started(caplog):
    def fail():
        raise RuntimeError("out of luck")

    worker = Worker.__new__(Worker)
    worker.alive, worker._finished = True, threading.Event()
    worker._loop = SimpleNamespace(next=fail)
    worker.lead(_Leader(worker))
    assert not worker.alive
    assert worker._finished.is_set()
    assert "out of luck" in caplog.text
