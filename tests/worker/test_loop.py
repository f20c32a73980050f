"""The event loop and its connections, on real sockets."""

import gc
import socket
import threading
import time
import weakref

import pytest

from app.worker import limits, loop
from app.worker.connection import Connection, State
from tests.worker.serving import GET, POST, TIMEOUT, connect, echo, problem, read_until, read_until_closed, upload


def wait_until(condition):
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_connection_is_kept_and_pipelined_requests_are_answered_in_order():
    with echo() as served, connect(served) as client:
        for _ in range(2):
            client.sendall(POST + POST.replace(b"hello", b"there"))
            answers = read_until(client, b"there")
            assert answers.count(b"HTTP/1.1 200 OK") == 2
            assert answers.index(b"hello") < answers.index(b"there")


def test_pipelined_uploads_are_not_counted_as_heads():
    with echo(max_body=50_000) as served, connect(served) as client:
        body = b"x" * 49_999 + b"y"
        client.sendall((upload(50_000) + body) * 3)
        answers = b""
        while answers.count(b"xy") < 3:
            answers += read_until(client, b"xy")
        assert answers.count(b"HTTP/1.1 200 OK") == 3


def test_one_request_is_parsed_at_a_time():
    release = threading.Event()
    with echo(answered=lambda: release.wait(TIMEOUT)) as served, connect(served) as client:
        client.sendall(POST + b"nonsense\r\n\r\n")
        release.set()
        answers = read_until_closed(client)
    assert answers.startswith(b"HTTP/1.1 200 OK")
    assert b"hello" in answers
    assert answers.count(b"HTTP/1.1 400 ") == 1


def test_client_that_sends_no_more_is_still_answered():
    with echo() as served, connect(served) as client:
        client.sendall(POST)
        client.shutdown(socket.SHUT_WR)
        assert read_until_closed(client).endswith(b"hello")


def test_client_that_expects_100_continue_gets_it_before_its_answer():
    with echo() as served, connect(served) as client:
        client.sendall(GET + upload(5, b"Expect: 100-continue"))
        answers = read_until(client, b"HTTP/1.1 100 Continue\r\n\r\n")
        assert answers.startswith(b"HTTP/1.1 200 OK")
        client.sendall(b"hello")
        assert read_until(client, b"hello").startswith(b"HTTP/1.1 200 OK")


def test_answer_larger_than_the_socket_takes_arrives_whole():
    size = 20_000_000
    with echo(max_body=size, buffers=2 * size) as served, connect(served) as client:
        client.sendall(upload(size, b"Connection: close"))
        sender = threading.Thread(target=client.sendall, args=(bytes(size),))
        sender.start()
        assert len(read_until_closed(client)) > size
        sender.join()


def test_bytes_after_a_request_with_close_do_not_cost_its_answer():
    with echo() as served:
        for _ in range(20):
            with connect(served) as client:
                client.sendall(POST.replace(b"Host: x", b"Host: x\r\nConnection: close") + b"\r\n" + GET)
                answer = read_until_closed(client)
                assert answer.endswith(b"hello")
                assert answer.count(b"HTTP/1.1") == 1


def test_bytes_that_arrive_after_the_last_answer_do_not_reset_the_connection():
    with echo() as served, connect(served) as client:
        client.sendall(POST.replace(b"Host: x", b"Host: x\r\nConnection: close"))
        wait_until(lambda: any(each.state is State.DRAINING for each in served.loop._connections.copy()))
        client.sendall(b"\r\n")
        client.sendall(b"\r\n")
        time.sleep(0.05)  # a reset would have arrived
        assert read_until_closed(client).endswith(b"hello")


def test_reservation_of_a_chunked_body_shrinks_to_its_size():
    reserved = []
    with echo(answered=lambda: reserved.append(served.account.bodies)) as served, connect(served) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        wait_until(lambda: served.account.bodies == 1000)
        client.sendall(b"0\r\n\r\n")
        read_until(client, b"hello")
    assert reserved == [5]


def test_malformed_request_is_answered_with_a_problem():
    with echo() as served, connect(served) as client:
        client.sendall(b"hello?\r\n\r\n")
        status, detail = problem(read_until_closed(client))
    assert status == 400
    assert detail.startswith("invalid HTTP request: ")


def test_body_over_the_limit_is_left_out_and_its_length_is_given_to_the_application():
    for sent in (upload(1001), upload(0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked") + b"3e9\r\n"):
        with echo(max_body=1000) as served, connect(served) as client:
            lengths = []
            run = served.queue.add
            served.queue.add = lambda each, run=run, lengths=lengths: (
                lengths.append(each.request.environ["CONTENT_LENGTH"]),
                run(each),
            )
            client.sendall(sent)
            assert b"Content-Length: 0\r\n" in read_until_closed(client)
            assert lengths == ["1001"]


def test_bodies_that_do_not_fit_are_read_when_others_are_gone():
    with echo(max_body=1000, bodies=2000) as served, connect(served) as one, connect(served) as two:
        for client in (one, two):
            client.sendall(upload(1000) + bytes(900))
        wait_until(lambda: served.account.bodies == 2000)
        with connect(served) as three:
            three.sendall(POST)
            three.settimeout(0.2)
            with pytest.raises(TimeoutError):
                three.recv(1)
            one.sendall(bytes(100))
            assert read_until(one, bytes(1000)).startswith(b"HTTP/1.1 200 OK")
            three.settimeout(TIMEOUT)
            assert read_until(three, b"hello").startswith(b"HTTP/1.1 200 OK")


def test_body_that_waits_too_long_for_memory_is_refused(monkeypatch):
    monkeypatch.setattr(limits, "RESERVE_SECONDS", 0.1)
    with echo(max_body=1000, bodies=1000) as served, connect(served) as one, connect(served) as two:
        one.sendall(upload(1000))
        wait_until(lambda: served.account.bodies == 1000)
        two.sendall(POST)
        answer = read_until_closed(two)
    assert b"\r\nRetry-After: 1\r\n" in answer
    assert problem(answer)[0] == 503


def test_body_below_the_minimum_rate_is_refused_and_releases_its_reservation(monkeypatch):
    monkeypatch.setattr(limits, "RATE_SECONDS", 0.3)
    with echo(max_body=limits.RATE_BYTES * 2) as served, connect(served) as client:
        client.sendall(upload(limits.RATE_BYTES * 2) + bytes(limits.RATE_BYTES))
        time.sleep(0.4)  # the first period was fast enough
        assert served.account.bodies > 0
        assert problem(read_until_closed(client))[0] == 408
        assert served.account.bodies == 0


def test_head_that_does_not_end_in_time_is_refused(monkeypatch):
    monkeypatch.setattr(limits, "HEAD_SECONDS", 0.1)
    with echo() as served, connect(served) as client:
        client.sendall(GET[:-1])
        assert problem(read_until_closed(client)) == (408, "the request did not arrive in time: send it again")


def test_idle_connection_is_closed():
    with echo(idle=0.1) as served, connect(served) as client:
        client.sendall(POST)
        assert read_until_closed(client).endswith(b"hello")


def test_aborted_upload_gives_back_its_reservation_and_its_memory():
    with echo() as served, connect(served) as client:
        client.sendall(upload(1000) + bytes(900))
        wait_until(lambda: served.account.bodies == 1000)
        (connection,) = served.loop._connections
        body = weakref.ref(connection._body)
        gc.disable()  # a reference cycle would keep the bytes until the collector runs
        try:
            client.close()
            wait_until(lambda: served.account.bodies == 0)
            wait_until(lambda: body() is None)
        finally:
            gc.enable()
        assert served.account.buffers == 0


def test_least_recently_used_idle_connection_is_closed_at_the_bound():
    with echo() as served:
        served.loop._max_connections = 2
        with connect(served) as busy, connect(served) as idle:
            busy.sendall(POST[:-1])
            idle.sendall(GET)
            assert idle.recv(65536).startswith(b"HTTP/1.1 200 OK")
            with connect(served) as third:
                assert read_until_closed(idle) == b""
                third.sendall(GET)
                assert third.recv(65536).startswith(b"HTTP/1.1 200 OK")
            busy.sendall(POST[-1:])
            assert read_until(busy, b"hello").startswith(b"HTTP/1.1 200 OK")


def test_unfinished_heads_are_closed_when_they_hold_too_much():
    with echo() as served, connect(served) as first, connect(served) as second:
        served.account.buffer_limit = 30_000
        first.sendall(GET[:-2] + b"A: " + b"b" * 20_000)
        wait_until(lambda: served.account.buffers > 20_000)
        second.sendall(GET[:-2] + b"A: " + b"b" * 20_000)
        assert read_until_closed(first) == b""
        second.sendall(b"\r\n\r\n")
        assert second.recv(65536).startswith(b"HTTP/1.1 200 OK")


def test_memory_is_released_whenever_all_requests_are_answered(monkeypatch):
    released = threading.Semaphore(0)
    monkeypatch.setattr(loop.memory, "release", released.release)
    with echo() as served, connect(served) as client:
        for _ in range(2):
            client.sendall(POST)
            assert client.recv(65536).endswith(b"hello")
            assert released.acquire(timeout=TIMEOUT)


def test_after_a_stop_nothing_is_accepted_and_what_has_begun_is_answered():
    with echo() as served, connect(served) as client:
        client.sendall(POST[:-1])
        wait_until(lambda: served.account.bodies == 5)
        served.loop.stop()

        def refused():
            try:
                socket.create_connection(("127.0.0.1", served.port), timeout=TIMEOUT).close()
            except ConnectionRefusedError:
                return True
            return False

        wait_until(refused)
        client.sendall(POST[-1:])
        assert client.recv(65536).endswith(b"hello")


def test_stop_waits_neither_for_idle_connections_nor_for_stalled_uploads(monkeypatch):
    monkeypatch.setattr(limits, "STOP_STALL_SECONDS", 0.5)
    with echo(idle=600) as served, connect(served) as idle, connect(served) as stalled:
        idle.sendall(POST)
        assert idle.recv(65536).endswith(b"hello")
        stalled.sendall(POST[:-1])
        wait_until(lambda: served.account.bodies == 5)
        started = time.monotonic()
        served.loop.stop()
        served.thread.join(TIMEOUT)
        assert time.monotonic() - started < 3


def test_answer_from_another_thread_is_sent_by_the_loop():
    with echo() as served, connect(served) as client:
        given = []
        served.loop.finish = lambda *answer: given.append(answer)
        client.sendall(POST)
        wait_until(lambda: given)
        del served.loop.finish
        served.loop.post(*given[0])
        assert client.recv(65536).endswith(b"hello")
        client.sendall(POST)
        assert client.recv(65536).endswith(b"hello")


def test_connection_has_no_reference_cycle():
    account = loop.Account(1000, 1000)
    here, there = socket.socketpair()
    with here, there:
        here.setblocking(False)
        connection = Connection(here, ("", 0), account, 1000, 60)
        there.sendall(POST[:-1])
        connection.receive()
        assert account.bodies == 5
        found = weakref.ref(connection)
        gc.disable()
        try:
            connection.close()
            del connection
            assert found() is None
        finally:
            gc.enable()
    assert account.bodies == 0
