"""The event loop and its connections, on real sockets."""

import gc
import socket
import threading
import time
import weakref
from selectors import EVENT_READ, EVENT_WRITE

import pytest

from app.worker import limits, load_table, loop
from app.worker.account import Account
from app.worker.connection import Connection, State
from app.worker.request_queue import RequestQueue
from tests.worker.serving import (
    GET,
    POST,
    TIMEOUT,
    connect,
    echo,
    problem,
    read_until,
    read_until_closed,
    upload,
    wait_until,
)


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


def test_idle_connection_is_closed_at_the_bound_rather_than_an_older_unfinished_head():
    with echo() as served, connect(served) as unfinished:
        served.loop._max_connections = 2
        unfinished.sendall(GET[:-1])
        wait_until(lambda: served.account.buffers == len(GET) - 1)
        with connect(served) as idle:
            idle.sendall(GET)
            assert idle.recv(65536).startswith(b"HTTP/1.1 200 OK")
            with connect(served):
                assert read_until_closed(idle) == b""
                unfinished.sendall(GET[-1:])
                assert unfinished.recv(65536).startswith(b"HTTP/1.1 200 OK")


def test_as_many_connections_as_the_bound_are_kept():
    with echo() as served, connect(served) as first, connect(served) as second:
        served.loop._max_connections = 2
        for _ in range(2):
            for client in (first, second):
                client.sendall(GET)
                assert client.recv(65536).startswith(b"HTTP/1.1 200 OK")


def test_connections_leave_64_files_for_others_if_the_limit_of_open_files_is_low(monkeypatch):
    monkeypatch.setattr(loop.resource, "getrlimit", lambda _: (65, 65))
    with echo() as served, connect(served) as first:
        wait_until(lambda: served.loop._connections)
        with connect(served) as second:
            assert read_until_closed(first) == b""
            second.sendall(GET)
            assert second.recv(65536).startswith(b"HTTP/1.1 200 OK")


def test_connection_whose_request_is_with_the_application_is_never_closed_for_memory():
    with echo() as served, connect(served) as first, connect(served) as second:
        served.account.buffer_limit = 10_000
        given = hold_answers(served)
        first.sendall(POST)
        wait_until(lambda: given)
        second.sendall(GET[:-2] + b"A: " + b"b" * 20_000)
        assert read_until_closed(second) == b""
        release_answers(served, given)
        assert first.recv(65536).endswith(b"hello")


def test_connection_that_does_not_take_a_large_answer_is_closed_when_it_holds_too_much():
    size = 20_000_000
    with echo(max_body=size, buffers=100_000) as served, connect(served) as client:
        client.sendall(upload(size) + bytes(size))
        wait_until(lambda: not served.loop._connections)
        assert served.account.buffers == 0


def test_connection_is_moved_to_another_worker_after_its_answer():
    with echo() as served, connect(served) as client:
        served.loop._acceptor.moves_one = lambda: True
        client.sendall(GET)
        assert b"\r\nConnection: close\r\n" in read_until_closed(client)


def test_connection_with_more_pipelined_requests_is_not_moved():
    with echo() as served, connect(served) as client:
        served.loop._acceptor.moves_one = lambda: True
        client.sendall(POST + POST)
        answers = read_until_closed(client)
    assert answers.count(b"HTTP/1.1 200 OK") == 2
    assert answers.count(b"\r\nConnection: close\r\n") == 1


def test_connection_whose_request_is_with_the_application_is_reported_as_active(monkeypatch):
    monkeypatch.setattr(loop, "_ACTIVE_SECONDS", -1)  # whenever its request came
    with echo() as served, connect(served) as idle, connect(served) as busy:
        given = hold_answers(served)
        busy.sendall(POST)
        idle.sendall(b"\r\n")
        wait_until(lambda: given and len(served.loop._connections) == 2)
        looks = count_looks(served)
        for _ in range(2):
            assert looks.acquire(timeout=TIMEOUT)
        assert load_table.fewest() == 1
        release_answers(served, given)
        assert busy.recv(65536).endswith(b"hello")
        wait_until(lambda: load_table.fewest() == 0)


def test_connection_is_reported_as_active_for_a_second_after_its_request(monkeypatch):
    monkeypatch.setattr(loop, "_ACTIVE_SECONDS", TIMEOUT)
    with echo() as served, connect(served) as client:
        client.sendall(POST)
        assert client.recv(65536).endswith(b"hello")
        looks = count_looks(served)
        for _ in range(2):
            assert looks.acquire(timeout=TIMEOUT)
        assert load_table.fewest() == 1
        monkeypatch.setattr(loop, "_ACTIVE_SECONDS", 0)
        wait_until(lambda: load_table.fewest() == 0)


def count_looks(served):
    """A semaphore that counts the sweeps from now on. The first one may have begun before."""
    looks = threading.Semaphore(0)
    served.loop._acceptor.look = looks.release
    return looks


def test_connection_that_no_other_worker_accepts_is_accepted_soon(monkeypatch):
    monkeypatch.setattr(loop, "_SWEEP_SECONDS", 60)
    load_table.report(2, 0)
    try:
        with echo() as served, connect(served) as first:
            wait_until(lambda: served.loop._connections)
            with connect(served) as second:  # left to worker 2, which has fewer
                for client in (first, second):
                    client.sendall(POST)
                    assert client.recv(65536).endswith(b"hello")
    finally:
        load_table.remove(2)


def test_new_and_closed_connections_are_reported_at_once(monkeypatch):
    monkeypatch.setattr(loop, "_SWEEP_SECONDS", 60)
    with echo() as served:
        load_table.report(2, 9)
        try:
            with connect(served):
                wait_until(lambda: load_table.fewest() == 1)
            wait_until(lambda: load_table.fewest() == 0)
        finally:
            load_table.remove(2)


def test_idle_connection_that_is_closed_does_not_lower_the_number_of_active_ones_below_zero():
    account = Account(1000, 1000)
    here, there = socket.socketpair()
    with here, there:
        connection = Connection(here, ("", 0), account, 1000, 60)
        unstarted = loop.Loop(1, [], account, RequestQueue(4, 1000), None)
        load_table.report(2, 9)
        try:
            unstarted._connections.add(connection)
            unstarted._sweep(connection.arrived + 2)
            unstarted._close(connection)
            assert load_table.fewest() == 0
        finally:
            load_table.remove(1)
            load_table.remove(2)


def test_queued_requests_are_answered_without_a_pause(monkeypatch):
    monkeypatch.setattr(loop, "_SWEEP_SECONDS", 60)
    begun, release = threading.Event(), threading.Event()
    with (
        echo(answered=lambda: (begun.set(), release.wait(TIMEOUT))) as served,
        connect(served) as first,
        connect(served) as second,
        connect(served) as third,
    ):
        wait_until(lambda: len(served.loop._connections) == 3)
        first.sendall(POST)
        assert begun.wait(TIMEOUT)
        for client in (second, third):
            client.sendall(POST)
        release.set()
        for client in (first, second, third):
            assert client.recv(65536).endswith(b"hello")


def test_load_is_compared_with_the_other_workers_again_and_again():
    with echo() as served:
        looks = count_looks(served)
        for _ in range(2):
            assert looks.acquire(timeout=TIMEOUT)


def test_memory_is_released_once_after_an_answer(monkeypatch):
    released = []
    monkeypatch.setattr(loop.memory, "release", lambda: released.append(True))
    with echo() as served, connect(served) as client:
        client.sendall(GET)
        assert client.recv(65536).startswith(b"HTTP/1.1 200 OK")
        wait_until(lambda: released)
        looks = count_looks(served)
        for _ in range(3):
            assert looks.acquire(timeout=TIMEOUT)
        assert len(released) == 1


def test_memory_is_not_released_while_a_request_is_answered(monkeypatch):
    released = []
    monkeypatch.setattr(loop.memory, "release", lambda: released.append(True))
    with echo() as served, connect(served) as slow, connect(served) as quick:
        given = hold_answers(served)
        slow.sendall(POST)
        wait_until(lambda: given)
        del served.loop.finish
        quick.sendall(GET)
        assert quick.recv(65536).startswith(b"HTTP/1.1 200 OK")
        released.clear()
        looks = count_looks(served)
        for _ in range(2):
            assert looks.acquire(timeout=TIMEOUT)
        assert not released
        served.loop.post(*given[0])
        assert slow.recv(65536).endswith(b"hello")
        wait_until(lambda: released)


def hold_answers(served):
    """Answer no request, as if the application took long. Returns the list that the answers go to."""
    given = []
    served.loop.finish = lambda *answer: given.append(answer)
    return given


def release_answers(served, given):
    del served.loop.finish
    for answer in given:
        served.loop.post(*answer)


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


def test_answers_from_other_threads_are_sent_by_the_loop():
    with echo() as served, connect(served) as first, connect(served) as second:
        given = hold_answers(served)
        for number, client in enumerate((first, second), 1):
            client.sendall(POST)
            wait_until(lambda number=number: len(given) == number)
        release_answers(served, given)
        for client in (first, second):
            assert client.recv(65536).endswith(b"hello")
            client.sendall(POST)
            assert client.recv(65536).endswith(b"hello")


def test_request_is_queued_once_although_its_connection_is_still_written_to():
    account, queue = Account(1000, 1000), RequestQueue(4, 1000)
    here, there = socket.socketpair()
    with here, there:
        here.setblocking(False)
        connection = Connection(here, ("", 0), account, 1000, 60)
        unstarted = loop.Loop(1, [], account, queue, None)
        try:
            there.sendall(upload(5, b"Expect: 100-continue") + b"hello")
            unstarted._handle(connection, EVENT_READ)
            unstarted._handle(connection, EVENT_WRITE)  # as if 100 Continue had not been sent at once
            assert queue.pop(0)[0] is connection
            assert queue.pop(0) is None
        finally:
            unstarted._close(connection)
            load_table.remove(1)


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
