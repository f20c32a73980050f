"""An event loop on a real socket that answers every request with its body, in a thread of its own."""

import json
import socket
import threading
import time
from contextlib import contextmanager

from app.worker import load_table, loop, wsgi
from app.worker.account import Account
from app.worker.connection import Connection
from app.worker.request_queue import RequestQueue

TIMEOUT = 5  # seconds at most for what takes milliseconds
POST = b"POST /predict?top=3 HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: 5\r\n\r\nhello"
GET = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


def upload(length, *fields):
    lines = [b"POST / HTTP/1.1", b"Host: x", b"Content-Length: %d" % length, *fields, b"", b""]
    return b"\r\n".join(lines)


class EchoLoop:
    """`answered`: a callback before each answer."""

    def __init__(self, number=1, max_body=1000, idle=60, bodies=None, buffers=100_000, answered=lambda: None):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        self.account = Account(bodies or 4 * max_body, buffers)
        self.queue = RequestQueue(4, max_body)
        self.loop = loop.Loop(
            number,
            [self.listener],
            self.account,
            self.queue,
            lambda sock, address: Connection(sock, address, self.account, max_body, idle),
        )
        self._answered = answered
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        while found := self.loop.next():
            connection, _ = found
            keep_alive = connection.request.keep_alive
            content = connection.request.environ["wsgi.input"].read()
            self._answered()
            answer = wsgi.answer("POST", "200 OK", [], content, keep_alive)
            del found
            self.loop.finish(connection, answer, keep_alive)


def wait_until(condition):
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@contextmanager
def echo(**options):
    served = EchoLoop(**options)
    try:
        yield served
    finally:
        served.loop.stop()
        served.thread.join(TIMEOUT)
        load_table.remove(options.get("number", 1))
        assert not served.thread.is_alive()


@contextmanager
def connect(served):
    with socket.create_connection(("127.0.0.1", served.port), timeout=TIMEOUT) as client:
        yield client


def read_until_closed(client):
    data = b""
    while piece := client.recv(65536):
        data += piece
    return data


def read_until(client, end):
    data = b""
    while not data.endswith(end):
        piece = client.recv(65536)
        assert piece, data
        data += piece
    return data


def problem(answer):
    """Status and detail of a refusal."""
    head, _, content = answer.partition(b"\r\n\r\n")
    assert b"Content-Type: application/problem+json" in head
    return int(head.split()[1]), json.loads(content)["detail"]
