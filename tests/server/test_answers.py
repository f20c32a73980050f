"""Answers arrive whole, in order, and never within each other, also if the client reads slowly or sends more.

All tests share a server with one worker. Needs only the serving environment (.venv). Takes about 10 seconds.
"""

import json
import time

import pytest

from tests.server.conformance.case import PNG, SIZE, get, post, request
from tests.server.photos import small
from tests.server.serving import serving
from tests.server.wire import Client

CONTINUE = post(f"Content-Length: {SIZE}", "Expect: 100-continue", body=b"")


@pytest.fixture(scope="module")
def server():
    with serving(MAX_UPLOAD_MB=1, MAX_IMAGES=64) as server:
        yield server


def page(server):
    with Client(server.port) as client:
        client.send(get("/"))
        return client.read().content


def test_slow_reader_gets_every_pipelined_answer_whole_and_in_order(server):
    # 12 MB of answers, more than the kernel's buffers hold: the server has to wait for the client again and again.
    content = page(server)
    with Client(server.port) as client:
        client.send((get("/") + get("/nowhere")) * 2000)
        for number in range(2000):
            first, second = client.read(), client.read()
            assert (first.status, second.status) == (200, 404)
            assert first.content == content
            time.sleep(0.01 if number % 100 == 0 else 0)


def test_100_continue_is_never_sent_within_another_answer(server):
    # The first answer has 5 MB, so it cannot be sent at once to a client that does not read.
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + PNG + b"\r\n"
    body = part * 64 + b"--b--\r\n"
    fields = "Content-Type: multipart/form-data; boundary=b", f"Content-Length: {len(body)}"
    with Client(server.port, receive_buffer=4096) as client:
        client.send(request("POST /predict?top=1000 HTTP/1.1", *fields, body=body) + CONTINUE)
        time.sleep(1)  # until the server has answered the first request, as far as it can
        answer = client.read()
        assert answer.status == 200
        assert len(json.loads(answer.content)["predictions"]) == 64
        assert client.read().status == 100
        client.send(PNG)
        assert client.read().status == 200


def test_malformed_request_does_not_take_the_answers_before_it(server):
    content = page(server)
    with Client(server.port) as client:
        client.send(get("/") * 200 + b"nonsense\r\n\r\n")
        for _ in range(200):
            assert client.read().content == content
        assert client.read().status == 400
        assert client.read() is None
        assert client.closed


def test_answer_arrives_whole_although_bytes_follow_a_request_with_close(server):
    upload = post(f"Content-Length: {len(small())}", "Connection: close", body=small())
    lost = []
    for number in range(200):
        with Client(server.port) as client:
            client.send(upload)
            if number % 2:
                time.sleep(0.001)
            client.send(b"\r\n")
            if number % 4 > 1:
                client.send(get("/smuggled"))
            answer = client.read()
            if not answer or answer.status != 200:
                lost.append((number, answer))
            assert client.read() is None
    assert lost == []
