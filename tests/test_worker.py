"""The worker's parts, without a process of their own: HTTP out of bytes, and the event loop on real sockets."""

import itertools
import json
import socket
import threading
import time
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.problems import Problem
from app.worker import Worker, census, connection, door, http1, loop

POST = b"POST /predict?top=3 HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: 5\r\n\r\nhello"
GET = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
WAIT = 5  # seconds at most for what takes milliseconds


def read(*pieces, max_body=1000):
    reader = http1.Reader(max_body)
    for piece in pieces:
        reader.feed(piece)
    return list(reader.requests)


@given(st.lists(st.integers(0, len(POST)), max_size=4))
def test_request_is_the_same_wherever_it_was_cut(cuts):
    edges = [0, *sorted(cuts), len(POST)]
    (request,) = read(*(POST[a:b] for a, b in itertools.pairwise(edges) if b > a))
    assert request.whole
    assert request.keep_alive
    assert request.body().read() == b"hello"
    expected = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/predict",
        "QUERY_STRING": "top=3",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_TYPE": "image/jpeg",
        "CONTENT_LENGTH": "5",
        "HTTP_HOST": "x",
    }
    assert expected.items() <= request.environ.items()


def test_requests_sent_at_once_are_read_one_by_one():
    first, second = read(POST + GET + b"GET /part")[:2]
    assert (first.whole, first.environ["PATH_INFO"]) == (True, "/predict")
    assert (second.whole, second.environ["PATH_INFO"]) == (True, "/health")


def test_body_in_chunks_is_put_together_and_its_length_told():
    (request,) = read(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", b"1\r\n!\r\n0\r\n\r\n")
    assert request.body().read() == b"hello!"
    assert request.environ["CONTENT_LENGTH"] == "6"


def test_body_in_chunks_of_one_byte_takes_no_more_pieces_than_it_came_in():
    head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    (request,) = read(head, b"1\r\nx\r\n" * 100, b"1\r\ny\r\n" * 100)
    assert len(request._body) <= 3


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/a%20b?c=%20", "/a b", "c=%20"),
        (b"http://somewhere:80/a?b", "/a", "b"),
        (b"http://somewhere", "/", ""),
        (b"//a", "//a", ""),
        (b"/%C3%A4", "/\xc3\xa4", ""),  # WSGI's way to write bytes in a string
    ],
)
def test_target_is_taken_apart(target, path, query):
    (request,) = read(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (request.environ["PATH_INFO"], request.environ["QUERY_STRING"]) == (path, query)


def test_header_with_an_underscore_cannot_pass_for_one_with_a_hyphen():
    (request,) = read(b"GET / HTTP/1.1\r\nX-User: a\r\nX_User: b\r\nAccept: c\r\nAccept: d\r\n\r\n")
    assert request.environ["HTTP_X_USER"] == "a"
    assert request.environ["HTTP_ACCEPT"] == "c,d"


@pytest.mark.parametrize(
    ("sent", "status", "detail"),
    [
        (b"\x16\x03\x01 TLS?\r\n\r\n", 400, "not a valid HTTP request"),
        (b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, "not a valid HTTP request"),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "not a valid"),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400, "not a valid HTTP request"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "not a valid HTTP request"),
        (b"GET / HTTP/1.1\r\nX: a\nY: b\r\n\r\n", 400, "not a valid HTTP request"),
        (b"GET http://[/ HTTP/1.1\r\n\r\n", 400, "not"),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 102, 431, "more than 100 headers"),
        (b"GET / HTTP/1.1\r\nA: " + b"b" * 40_000, 431, "larger than 32 KiB"),
        (b"GET /" + b"b" * 40_000, 431, "larger than 32 KiB"),
    ],
)
def test_what_is_no_request_is_refused_with_a_reason(sent, status, detail):
    with pytest.raises(Problem) as caught:
        read(sent)
    assert caught.value.status == status
    assert detail in caught.value.detail


@pytest.mark.parametrize(
    "sent",
    [
        b"POST / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1001,
    ],
)
def test_body_over_the_limit_is_known_before_it_is_there(sent):
    (request,) = read(sent, max_body=1000)
    assert request.too_large
    assert not request.whole
    assert int(request.environ.get("CONTENT_LENGTH", 0)) == 1001 or request.size == 1001
    assert len(request.body().read()) <= 1000


def test_offer_to_speak_something_else_is_answered_in_http_and_ends_the_connection():
    (request,) = read(b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
    assert request.whole
    assert not request.keep_alive


def test_answers_have_a_length_and_only_where_allowed_a_content():
    page = http1.answer("GET", "200 OK", [("A", "b")], b"page", keep_alive=True)
    assert page.startswith(b"HTTP/1.1 200 OK\r\n")
    assert page.endswith(b"\r\nConnection: keep-alive\r\nA: b\r\nContent-Length: 4\r\n\r\npage")
    assert http1.answer("HEAD", "200 OK", [], b"page", keep_alive=True).endswith(b"Content-Length: 4\r\n\r\n")
    assert b"Length" not in http1.answer("GET", "304 NOT MODIFIED", [], b"", keep_alive=True)
    assert b"\r\nConnection: close\r\n" in http1.answer("GET", "200 OK", [], b"", keep_alive=False)


class Echo:
    """A loop that answers every request with its body, in a thread; `listener` is where it listens."""

    def __init__(self, number, max_body, idle):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        self.loop = loop.Loop(number, [self.listener], max_body, idle)
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while ready := self.loop.next():
            keep_alive = ready.request.keep_alive and ready.request.whole
            said = http1.answer("POST", "200 OK", [], ready.request.body().read(), keep_alive)
            ready.send(said, last=not keep_alive)
            self.loop.take_back(ready)


@contextmanager
def echoing(number=1, max_body=1000, idle=60):
    echo = Echo(number, max_body, idle)
    try:
        yield echo
    finally:
        echo.loop.stop()
        echo.thread.join(WAIT)
        census.leave(number)
        assert not echo.thread.is_alive()


@contextmanager
def linked(echo):
    with socket.create_connection(("127.0.0.1", echo.port), timeout=WAIT) as link:
        yield link


def until_closed(link):
    said = b""
    while piece := link.recv(65536):
        said += piece
    return said


def problem(said):
    head, _, content = said.partition(b"\r\n\r\n")
    assert b"Content-Type: application/problem+json" in head
    return int(head.split()[1]), json.loads(content)["detail"]


def test_connection_is_used_again_and_requests_sent_at_once_are_answered_in_order():
    with echoing() as echo, linked(echo) as link:
        for _ in range(2):
            link.sendall(POST + POST.replace(b"hello", b"there"))
            said = b""
            while said.count(b"HTTP/1.1 200 OK") < 2 or not said.endswith(b"there"):
                said += link.recv(65536)
            assert said.index(b"hello") < said.index(b"there")


def test_client_that_says_no_more_is_still_answered():
    with echoing() as echo, linked(echo) as link:
        link.sendall(POST)
        link.shutdown(socket.SHUT_WR)
        assert until_closed(link).endswith(b"hello")


def test_client_that_asks_whether_to_go_on_is_told_to():
    with echoing() as echo, linked(echo) as link:
        link.sendall(POST.replace(b"Host: x", b"Expect: 100-continue").removesuffix(b"hello"))
        assert link.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        link.sendall(b"hello")
        assert link.recv(65536).endswith(b"hello")


def test_memory_is_given_back_whenever_a_kept_connection_falls_silent(monkeypatch):
    released = threading.Semaphore(0)
    monkeypatch.setattr(loop.memory, "release", released.release)
    with echoing() as echo, linked(echo) as link:
        for _ in range(2):
            link.sendall(POST)
            assert link.recv(65536).endswith(b"hello")
            assert released.acquire(timeout=WAIT)


def test_answer_larger_than_the_socket_takes_arrives_whole():
    size = 20_000_000
    with echoing(max_body=size) as echo, linked(echo) as link:
        link.sendall(b"POST / HTTP/1.1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % size)
        threading.Thread(target=link.sendall, args=(bytes(size),)).start()
        assert len(until_closed(link)) > size


def test_garbage_is_answered_with_a_problem():
    with echoing() as echo, linked(echo) as link:
        link.sendall(b"hello?\r\n\r\n")
        status, detail = problem(until_closed(link))
    assert status == 400
    assert detail.startswith("this is not a valid HTTP request: ")


def test_request_that_does_not_come_in_time_is_refused(monkeypatch):
    monkeypatch.setattr(connection, "_LONGEST", 0.1)
    with echoing() as echo, linked(echo) as link:
        link.sendall(POST[:-1])
        assert problem(until_closed(link)) == (408, "the request did not come in time: send it again")


def test_idle_connection_is_closed():
    with echoing(idle=0.1) as echo, linked(echo) as link:
        link.sendall(POST)
        assert until_closed(link).endswith(b"hello")


def test_bodies_on_their_way_are_bounded():
    with echoing(max_body=1000) as echo, linked(echo) as one, linked(echo) as two, linked(echo) as three:
        for link in (one, two, three):
            link.sendall(b"POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n" + bytes(900))
        link, said = next((link, said) for link in (three, two, one) if (said := _soon(link)))
        assert b"\r\nRetry-After: 1\r\n" in said
        assert problem(said)[0] == 503
        for other in {one, two, three} - {link}:
            other.sendall(bytes(100))
            assert other.recv(65536).startswith(b"HTTP/1.1 200 OK")


def _soon(link):
    link.settimeout(0.5)
    try:
        return link.recv(65536)
    except TimeoutError:
        return b""
    finally:
        link.settimeout(WAIT)


def test_newcomers_are_left_to_a_worker_with_fewer_connections_for_a_moment(monkeypatch):
    monkeypatch.setattr(door, "_LEAVE", 0.5)
    census.report(2, 0)
    try:
        with echoing(number=1) as echo, linked(echo) as one:
            one.sendall(POST)
            assert one.recv(65536).endswith(b"hello")  # it has none either: taken at once
            with linked(echo) as two:
                started = time.monotonic()
                two.sendall(POST)
                assert two.recv(65536).endswith(b"hello")
                assert time.monotonic() - started > 0.2
    finally:
        census.leave(2)


def test_after_a_stop_nobody_is_accepted_and_what_has_begun_is_answered():
    with echoing() as echo, linked(echo) as link:
        link.sendall(POST[:-1])
        with linked(echo) as other:  # when this one is answered, the other has been read
            other.sendall(POST)
            other.recv(65536)
        echo.loop.stop()
        until = time.monotonic() + WAIT
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", echo.port), timeout=WAIT).close()
            except ConnectionRefusedError:
                break
        else:
            pytest.fail("still accepting")
        link.sendall(POST[-1:])
        assert link.recv(65536).endswith(b"hello")


def test_worker_whose_loop_fails_ends_so_that_another_one_is_started(caplog):
    class Failing:
        def next(self):
            raise RuntimeError("out of luck")

    worker = Worker.__new__(Worker)  # gunicorn's own __init__ wants a whole server
    worker.alive, worker._finished, worker._loop = True, threading.Event(), Failing()
    worker._lead()
    assert not worker.alive
    assert worker._finished.is_set()
    assert "out of luck" in caplog.text
