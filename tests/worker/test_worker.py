"""The threads of the worker: a new leader takes over while an answer takes long."""

import io
import os
import socket
import threading
import time
from types import SimpleNamespace

import pytest

from app.worker import Worker, head, load_table
from app.worker.worker import _Leader
from tests.worker.serving import GET, POST, TIMEOUT, read_until, wait_until


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
        if environ["PATH_INFO"] == "/broken":
            raise RuntimeError("out of luck")
        self.environ = environ
        start_response("200 OK", [])
        if environ["PATH_INFO"] == "/large":
            return [bytes(24 * 2**20)]
        return [environ["wsgi.input"].read() or b"quick"]


@pytest.fixture
def small_container(monkeypatch):
    """The container's memory is too small for more than one body."""
    monkeypatch.setattr("app.memory.limit", lambda: 200 * 2**20)


@pytest.fixture
def served(monkeypatch):
    """A worker in a thread of this process: gunicorn's own __init__ needs a whole server."""
    monkeypatch.setattr("os.getppid", lambda: 1)
    worker = Worker.__new__(Worker)
    worker.alive, worker.ppid, worker.age, worker.wsgi = True, 1, 1, Application()
    worker.cfg = SimpleNamespace(threads=4, keepalive=650, graceful_timeout=5, workers=1)
    worker.notifications = []
    worker.notify = lambda: worker.notifications.append(time.monotonic())
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as silent:
        listener.setblocking(False)
        worker.sockets, worker.PIPE = [SimpleNamespace(sock=listener)], [silent.fileno()]
        worker.port = listener.getsockname()[1]
        monkeypatch.setattr("app.worker.worker.select", SimpleNamespace(select=_tick))
        thread = threading.Thread(target=worker.run)
        worker.thread = thread
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
        wait_until(lambda: leaders() == 1)


def test_application_that_fails_is_answered_with_500(served, caplog):
    with connect(served) as client:
        client.sendall(b"GET /broken HTTP/1.1\r\nHost: x\r\n\r\n" + GET)
        assert read_until(client, b"quick").startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert "out of luck" in caplog.text


def test_application_is_told_the_addresses_of_server_and_client(served):
    with connect(served) as client:
        client.sendall(GET)
        read_until(client, b"quick")
    environ = served.wsgi.environ
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("127.0.0.1", str(served.port))
    assert environ["REMOTE_ADDR"] == "127.0.0.1"


def test_application_is_told_how_long_its_request_was_queued():
    worker = Worker.__new__(Worker)
    worker.alive, worker.wsgi, worker._server = True, Application(), {}
    request = head.parse(GET)
    request.environ["wsgi.input"] = io.BytesIO()
    worker._answer(SimpleNamespace(request=request, address=("192.0.2.1", 0)), 1.5)
    assert worker.wsgi.environ["quintet.queue_seconds"] == 1.5


@pytest.mark.parametrize("alive", [True, False])
def test_connection_is_not_kept_when_the_worker_stops(alive):
    worker = Worker.__new__(Worker)
    worker.alive, worker.wsgi, worker._server = alive, Application(), {}
    request = head.parse(GET)
    request.environ["wsgi.input"] = io.BytesIO()
    _, answer, keep_alive = worker._answer(SimpleNamespace(request=request, address=("192.0.2.1", 0)), 0.0)
    assert keep_alive == alive
    assert (b"\r\nConnection: close\r\n" in answer) == (not alive)


def test_gunicorn_is_notified_while_the_worker_serves(served):
    wait_until(lambda: len(served.notifications) > 2)  # without them, gunicorn would kill the worker


def test_signal_is_read_from_gunicorns_pipe():
    woken, wake = os.pipe()
    os.set_blocking(woken, False)
    worker = Worker.__new__(Worker)
    worker.PIPE, worker.notify, worker._lock = [woken, wake], lambda: None, threading.Lock()
    worker._leader = SimpleNamespace(since=None)
    try:
        os.write(wake, b"1")
        worker._tick()
        with pytest.raises(BlockingIOError):
            os.read(woken, 1)
    finally:
        os.close(woken)
        os.close(wake)


def leaders():
    return sum(isinstance(thread, _Leader) for thread in threading.enumerate())


def test_health_is_answered_while_every_thread_is_busy(served):
    uploads = [connect(served) for _ in range(6)]
    with connect(served) as quick:
        for client in uploads:
            client.sendall(POST)
        wait_until(lambda: len(served.wsgi.seconds) == served.cfg.threads)
        quick.sendall(GET)
        read_until(quick, b"quick")
        served.wsgi.release.set()
        for client in uploads:
            with client:
                read_until(client, b"hello")
    assert len(served.wsgi.seconds) == 6
    assert max(served.wsgi.seconds) < TIMEOUT


def test_worker_that_stops_answers_what_has_begun_and_ends(served):
    with connect(served) as client:
        client.sendall(POST)
        wait_until(lambda: served.wsgi.seconds)
        served.alive = False
        wait_until(lambda: served._loop._stops)
        ticks = len(served.notifications)
        wait_until(lambda: len(served.notifications) > ticks + 2)
        assert served.thread.is_alive()
        served.wsgi.release.set()
        assert read_until(client, b"hello").startswith(b"HTTP/1.1 200 OK")
    served.thread.join(TIMEOUT)
    assert not served.thread.is_alive()


def test_worker_that_stops_does_not_wait_longer_than_gunicorns_setting_says(served):
    served.cfg.graceful_timeout = 0
    with connect(served) as client:
        client.sendall(POST)
        wait_until(lambda: served.wsgi.seconds)
        served.alive = False
        served.thread.join(TIMEOUT)
        assert not served.thread.is_alive()
        served.wsgi.release.set()


class FakeLoop:
    """Gives out one request, and calls `between` before it says that there are no more."""

    def __init__(self, between):
        self.finished, self.posted, self._requests, self._between = [], [], ["request"], between

    def next(self):
        if self._requests:
            return self._requests.pop(), 0.0
        self._between()
        return None

    def finish(self, *answer):
        self.finished.append(answer)

    def post(self, *answer):
        self.posted.append(answer)


@pytest.fixture
def leading():
    """A worker with a leader that has one request to answer."""
    worker = Worker.__new__(Worker)
    worker.alive, worker._lock, worker._finished = True, threading.Lock(), threading.Event()
    worker._leader = _Leader(worker)
    return worker


def test_leader_that_waits_for_requests_is_not_taken_for_one_that_answers(leading):
    seen = []
    leading._loop = FakeLoop(lambda: seen.append(leading._leader.since))
    leading._answer = lambda *_: seen.append(leading._leader.since) or ("connection", b"answer", True)
    leading.lead(leading._leader)
    assert isinstance(seen[0], float)
    assert seen[1] is None
    assert leading._loop.finished == [("connection", b"answer", True)]
    assert leading._finished.is_set()
    assert leading.alive


def test_leader_that_was_replaced_posts_its_answer_and_leaves_the_loop_to_the_new_one(leading):
    def answer(*_):
        leading._leader = _Leader(leading)
        return "connection", b"answer", True

    replaced, leading._answer = leading._leader, answer
    leading._loop = FakeLoop(lambda: pytest.fail("two threads run the loop"))
    leading.lead(replaced)
    assert leading._loop.posted == [("connection", b"answer", True)]
    assert leading._loop.finished == []
    assert not leading._finished.is_set()


@pytest.mark.parametrize(("seconds_ago", "is_replaced"), [(None, False), (0, False), (60, True)])
def test_leader_is_replaced_only_if_its_answer_takes_long(leading, monkeypatch, seconds_ago, is_replaced):
    monkeypatch.setattr("app.worker.worker._LONG_SECONDS", 30)
    replaced = []
    leading.cfg, leading.notify = SimpleNamespace(threads=100), lambda: None
    leading._replace_leader = lambda: replaced.append(True)
    leading.PIPE = os.pipe()
    try:
        os.write(leading.PIPE[1], b"1")
        leading._leader.since = None if seconds_ago is None else time.monotonic() - seconds_ago
        leading._tick()
    finally:
        for end in leading.PIPE:
            os.close(end)
    assert bool(replaced) == is_replaced


def test_connections_are_kept_as_long_as_gunicorns_setting_says(served):
    with connect(served) as client:
        client.sendall(GET)
        read_until(client, b"quick")
        (connection,) = served._loop._connections
        wait_until(lambda: connection.deadline - connection.since == 650)


def test_bodies_are_bounded_by_the_containers_memory(small_container, served):  # noqa: ARG001 - before the worker starts
    with connect(served) as client:
        client.sendall(GET)
        read_until(client, b"quick")
    assert served._loop._account.body_limit == served.wsgi.config["MAX_CONTENT_LENGTH"]


def test_connections_hold_at_most_16_mib_of_output(served):
    with connect(served) as client:
        client.sendall(GET.replace(b"/health", b"/large"))
        assert client.recv(1)
        wait_until(lambda: not served._loop._connections)


def test_worker_ends_if_gunicorns_master_has_ended(served):
    with connect(served) as client:
        client.sendall(GET)
        read_until(client, b"quick")
    served.ppid = 2
    served.thread.join(TIMEOUT)
    assert not served.thread.is_alive()


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
