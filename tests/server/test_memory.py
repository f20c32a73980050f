"""Memory stays within its bound whatever clients send.

Every test attacks a server of its own: one worker, the ImageNet bundle, MAX_UPLOAD_MB=20. The bound is 256 MB of PSS
for the whole process tree. As root the server runs in a memory cgroup of 512 MiB, as on Cloud Run's smallest instance;
without the rights for that it runs without a limit, and the bound is the same.

Needs Linux, because it reads /proc. Takes about a minute.
"""

import itertools
import socket
import time
from contextlib import ExitStack, suppress

import pytest

from bench.peak import Peak, falls_to
from tests.server.memory import BOUND
from tests.server.photos import photo
from tests.server.serving import request
from tests.server.wire import Client

MEGABYTE = 2**20


@pytest.fixture
def server(attacked_server):
    return attacked_server


def head(*fields, length=None):
    lines = ["POST /predict HTTP/1.1", "Host: x", "Content-Type: image/jpeg", *fields]
    lines += [f"Content-Length: {length}"] if length is not None else ["Transfer-Encoding: chunked"]
    return "\r\n".join([*lines, "", ""]).encode()


def flood(port, connections, start, piece, seconds):
    """Send `start` and then `piece` over and over on many connections, without reading, as fast as they are taken."""
    with ExitStack() as stack:
        links = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(connections)]
        for link in links:
            link.sendall(start)
            link.setblocking(False)
        deadline = time.monotonic() + seconds
        for link in itertools.cycle(links):
            with suppress(OSError):
                link.send(piece)
            if time.monotonic() > deadline:
                return


def test_uploads_that_break_off_leave_nothing_behind(server):
    body = bytes(19 * MEGABYTE)
    with Peak(server.pid) as peak:
        before = peak.megabytes
        for _ in range(60):
            with Client(server.port) as client, suppress(OSError):
                client.socket.sendall(head(length=20 * MEGABYTE))
                client.socket.sendall(body)
    print("PEAK", round(peak.megabytes))
    assert peak.megabytes <= BOUND
    assert falls_to(server.pid, before + 10) <= before + 10


def test_chunked_uploads_that_break_off_leave_nothing_behind(server):
    chunk = b"%x\r\n" % MEGABYTE + bytes(MEGABYTE) + b"\r\n"
    with Peak(server.pid) as peak:
        before = peak.megabytes
        for _ in range(60):
            with Client(server.port) as client, suppress(OSError):
                client.socket.sendall(head())
                client.socket.sendall(chunk * 19)
    print("PEAK", round(peak.megabytes))
    assert peak.megabytes <= BOUND
    assert falls_to(server.pid, before + 10) <= before + 10


def test_many_large_uploads_at_once_stay_within_the_bound(server):
    with Peak(server.pid) as peak, ExitStack() as stack:
        clients = [stack.enter_context(Client(server.port, timeout=0.2)) for _ in range(40)]
        for client in clients:
            client.socket.sendall(head(length=20 * MEGABYTE))
        for client in clients:
            with suppress(OSError):
                client.socket.sendall(bytes(19 * MEGABYTE))
        assert request(server.port, "GET", "/health")[0] == 200
    print("PEAK", round(peak.megabytes))
    assert peak.megabytes <= BOUND


ENDLESS = {
    "field-of-the-head": (b"GET /health HTTP/1.1\r\nHost: x\r\nA: ", b"b" * 1000),
    "fields-of-the-head": (b"GET /health HTTP/1.1\r\nHost: x\r\n", b"A: b\r\n" * 100),
    "target": (b"GET /", b"a" * 1000),
    "empty-lines-before-a-request": (b"", b"\r\n" * 500),
    "trailer-field": (head() + b"1\r\na\r\n0\r\nA: ", b"b" * 1000),
    "trailer-fields": (head() + b"1\r\na\r\n0\r\n", b"A: b\r\n" * 100),
    "chunk-extension": (head() + b"1;", b"a" * 1000),
    "chunk-extensions": (head(), b"1;" + b"a" * 1000 + b"\r\na\r\n"),
    "chunk-size": (head(), b"0" * 1000),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_endless_piece_of_a_request_is_refused_early(server, name):
    start, piece = ENDLESS[name]
    with Client(server.port) as client:
        client.send(start)
        client.send(piece * (2 * MEGABYTE // len(piece)))
        answer = client.read(5)
        assert answer or client.closed
        assert not answer or 400 <= answer.status < 500


@pytest.mark.parametrize("name", ENDLESS)
def test_endless_pieces_of_many_requests_stay_within_the_bound(server, name):
    start, piece = ENDLESS[name]
    with Peak(server.pid) as peak:
        flood(server.port, 30, start, piece * 100, seconds=4)
    print("PEAK", round(peak.megabytes))
    assert peak.megabytes <= BOUND


def test_thousands_of_unfinished_heads_stay_within_the_bound(server):
    unfinished = b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"".join(b"A%d: %b\r\n" % (n, b"b" * 340) for n in range(88))
    assert 30_000 < len(unfinished) < 32 * 1024
    with Peak(server.pid) as peak, ExitStack() as stack:
        for _ in range(7000):
            with suppress(OSError):
                link = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=1))
                link.settimeout(0.01)
                link.sendall(unfinished)
        answered_beside(server, 1)
    print("PEAK", round(peak.megabytes))
    assert peak.megabytes <= BOUND
    answered_beside(server, 1)


def answered_beside(server, count, seconds=15):
    """`count` photos in a row are answered with 200 within `seconds`, even if the server refuses some connections."""
    deadline = time.monotonic() + seconds
    answered = 0
    while answered < count:
        assert time.monotonic() < deadline, f"{answered} of {count} photos answered after {seconds} s"
        with suppress(OSError):
            answered += request(server.port, "POST", "/predict", photo(), **{"Content-Type": "image/jpeg"})[0] == 200


@pytest.mark.parametrize("path", ["/nowhere", "/"])
def test_pipelined_requests_whose_answers_are_never_read_stay_within_the_bound(server, path):
    piece = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    with Peak(server.pid) as peak:
        flood(server.port, 200, b"", piece * 10_000, seconds=8)
    print("PEAK", round(peak.megabytes))
    assert peak.megabytes <= BOUND
    answered_beside(server, 1)


@pytest.mark.parametrize("size", [1, 1000, MEGABYTE])
def test_chunked_body_over_the_limit_is_413(server, size):
    # A photo, and then enough to pass the limit: an answer for the beginning of the body would be 200.
    body = photo() if size > 1 else photo()[:1_000_000]
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    wire = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    wire += (b"%x\r\n" % MEGABYTE + bytes(MEGABYTE) + b"\r\n") * 20 + b"0\r\n\r\n"
    with Peak(server.pid) as peak, Client(server.port, timeout=20) as client:
        client.send(head())
        client.send(wire)
        answer = client.read()
    assert answer
    assert answer.status == 413
    print("PEAK", round(peak.megabytes))
    assert peak.megabytes <= BOUND
