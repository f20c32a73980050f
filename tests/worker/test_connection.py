"""One connection without an event loop: the tests say when its deadline has passed. The times are in docs/server.md."""

import math
import socket
import weakref
from selectors import EVENT_READ, EVENT_WRITE
from types import SimpleNamespace

import pytest

from app.problems import Problem
from app.worker.account import Account
from app.worker.connection import Connection, State
from tests.worker.serving import GET, POST, TIMEOUT, read_until_closed, upload

MORE_THAN_THE_SOCKET_TAKES = bytes(20_000_000)
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def pair():
    """The connection, the client's socket and the account. Bodies have at most 1,000 bytes."""
    here, client = socket.socketpair()
    account = Account(1000, 100_000)
    with here, client:
        here.setblocking(False)
        client.settimeout(TIMEOUT)
        yield SimpleNamespace(
            connection=Connection(here, ("192.0.2.1", 0), account, 1000, idle=650), client=client, account=account
        )


def receive(pair, data):
    """The client sends `data`, and the connection reads until nothing is left."""
    pair.client.sendall(data)
    for _ in range(3):
        pair.connection.receive()
    return pair.connection


def seconds_left(connection):
    return connection.deadline - connection.since


def expire(connection):
    """Its deadline passes: the status of the refusal, None without one."""
    try:
        connection.expire(connection.deadline)
    except Problem as problem:
        return problem.status
    return None


def test_idle_connection_is_closed_without_an_answer(pair):
    assert seconds_left(pair.connection) == 650
    assert expire(pair.connection) is None
    assert pair.connection.state is State.CLOSED


def test_empty_line_does_not_begin_a_head(pair):
    connection = receive(pair, b"\r\n")
    assert connection.is_idle
    assert seconds_left(connection) == 650
    assert expire(connection) is None


def test_head_that_does_not_end_within_20_seconds_is_408(pair):
    connection = receive(pair, GET[:-1])
    assert seconds_left(connection) == 20
    assert expire(connection) == 408


def test_more_bytes_of_a_head_do_not_extend_its_deadline(pair):
    deadline = receive(pair, GET[:-3]).deadline
    assert receive(pair, GET[-3:-1]).deadline == deadline


def test_body_that_waits_for_memory_is_not_read_and_503_after_60_seconds(pair):
    pair.account.reserve(SimpleHolder(), 1000)
    connection = receive(pair, upload(5))
    assert connection.state is State.RESERVE
    assert connection.interest == 0
    assert seconds_left(connection) == 60
    assert expire(connection) == 503


def test_body_of_16_kib_a_second_is_read_on_and_a_slower_one_is_408(pair):
    account = Account(400_000, 100_000)
    pair.connection = Connection(pair.connection.sock, ("192.0.2.1", 0), account, 400_000, idle=650)
    connection = receive(pair, upload(400_000))
    for _ in range(10):
        receive(pair, bytes(16 * 1024))
    assert seconds_left(connection) == 10
    assert expire(connection) is None
    assert connection.deadline == connection.since + 20
    for _ in range(9):
        receive(pair, bytes(16 * 1024))
    assert expire(connection) == 408


def test_rate_of_a_body_is_counted_from_its_own_beginning(pair):
    size = 300_000
    pair.connection = Connection(pair.connection.sock, ("192.0.2.1", 0), Account(size, 100_000), size, idle=650)
    connection = receive(pair, upload(size))
    for _ in range(2):
        for _ in range(10):
            receive(pair, bytes(16 * 1024))
        assert expire(connection) is None
        for _ in range(10):
            receive(pair, bytes((size - 160 * 1024) // 10))
        assert connection.state is State.READY
        connection.respond(b"answer", keep_alive=True)
        receive(pair, upload(size))


def test_time_in_the_queue_begins_when_the_request_is_whole(pair):
    pair.connection.arrived = 0.0
    assert receive(pair, POST[:-1]).arrived == 0
    connection = receive(pair, POST[-1:])
    assert connection.arrived == connection.since > 0


def test_client_that_does_not_take_its_answer_for_60_seconds_is_closed(pair):
    connection = receive(pair, GET)
    connection.respond(MORE_THAN_THE_SOCKET_TAKES, keep_alive=True)
    assert connection.state is State.SENDING
    assert seconds_left(connection) == 60
    assert expire(connection) is None
    assert connection.state is State.CLOSED


def test_output_that_is_not_sent_is_counted(pair):
    connection = receive(pair, GET)
    connection.respond(MORE_THAN_THE_SOCKET_TAKES, keep_alive=True)
    connection.count()
    assert len(MORE_THAN_THE_SOCKET_TAKES) // 2 < pair.account.buffers <= len(MORE_THAN_THE_SOCKET_TAKES)
    connection.close()
    assert pair.account.buffers == 0


def test_after_the_last_answer_input_is_dropped_for_2_seconds(pair):
    connection = receive(pair, GET + b"more")
    connection.respond(b"answer", keep_alive=False)
    assert connection.state is State.DRAINING
    assert seconds_left(connection) == 2
    receive(pair, GET)
    connection.count()
    assert pair.account.buffers == 0
    assert connection.interest == EVENT_READ
    assert expire(connection) is None
    assert connection.state is State.CLOSED


def test_client_that_closes_after_the_last_answer_is_closed(pair):
    connection = receive(pair, GET)
    connection.respond(b"answer", keep_alive=False)
    pair.client.close()
    connection.receive()
    assert connection.state is State.CLOSED


def test_client_sees_the_end_of_the_last_answer_before_the_connection_is_closed(pair):
    receive(pair, GET).respond(b"answer", keep_alive=False)
    assert read_until_closed(pair.client) == b"answer"


def test_connection_is_idle_for_its_whole_time_again_after_an_answer(pair):
    connection = receive(pair, POST)
    connection.respond(b"answer", keep_alive=True)
    assert (connection.state, seconds_left(connection)) == (State.HEAD, 650)


def test_request_that_is_with_the_application_has_no_deadline(pair):
    connection = receive(pair, POST)
    connection.stop(0)
    assert (connection.state, connection.deadline) == (State.READY, math.inf)


def test_connection_is_read_neither_while_its_request_is_answered_nor_while_it_takes_its_answer(pair):
    connection = receive(pair, POST)
    assert connection.interest == 0
    connection.respond(MORE_THAN_THE_SOCKET_TAKES, keep_alive=True)
    assert connection.interest == EVENT_WRITE


def test_answer_releases_the_reservation_also_if_the_client_does_not_take_it(pair):
    connection = receive(pair, POST)
    assert pair.account.bodies == 5
    connection.respond(MORE_THAN_THE_SOCKET_TAKES, keep_alive=True)
    assert pair.account.bodies == 0


def test_chunked_body_reserves_the_largest_size_until_it_is_whole(pair):
    connection = receive(pair, CHUNKED + b"5\r\nhello\r\n")
    assert pair.account.bodies == 1000
    receive(pair, b"0\r\n\r\n")
    assert (connection.state, pair.account.bodies) == (State.READY, 5)


@pytest.mark.parametrize("wire", [upload(1001), CHUNKED + b"3e9\r\n"])
def test_connection_is_not_kept_after_a_body_over_the_limit(pair, wire):
    connection = receive(pair, wire)
    assert connection.state is State.READY
    assert int(connection.request.environ["CONTENT_LENGTH"]) > 1000
    assert not connection.request.keep_alive
    assert pair.account.bodies <= 1000


def test_body_of_exactly_the_limit_is_read(pair):
    connection = receive(pair, upload(1000) + bytes(1000))
    assert connection.request.keep_alive
    assert len(connection.request.environ["wsgi.input"].read()) == 1000


@pytest.mark.parametrize(("fields", "client"), [((), "192.0.2.1"), ((b"X-Forwarded-For: 192.0.2.7",), "192.0.2.7")])
def test_client_is_what_the_front_end_reports_or_the_peers_address(pair, fields, client):
    assert receive(pair, upload(0, *fields)).client == client


def test_client_that_resets_the_connection_is_closed(pair):
    class Reset:
        def recv(self, _):
            raise ConnectionResetError

    pair.connection.sock = Reset()
    pair.connection.receive()
    assert pair.connection.state is State.CLOSED


def test_100_continue_to_a_client_that_is_gone_does_not_take_a_request_from_the_application(pair):
    connection = receive(pair, POST)
    connection._outbox.append(b"HTTP/1.1 100 Continue\r\n\r\n")
    pair.client.close()
    connection.flush()
    assert connection.state is State.READY
    assert connection.interest == 0  # nothing is left to be sent


def test_100_continue_is_not_sent_if_the_body_has_come_with_the_head(pair):
    connection = receive(pair, upload(5, b"Expect: 100-continue") + b"he")
    assert connection.state is State.BODY
    connection.respond(b"answer", keep_alive=False)
    assert read_until_closed(pair.client) == b"answer"


def test_stop_closes_an_idle_connection_after_half_a_second(pair):
    now = pair.connection.since
    pair.connection.stop(now)
    assert pair.connection.deadline == now + 0.5


def test_stop_does_not_extend_a_deadline(pair):
    deadline = pair.connection.deadline
    pair.connection.stop(deadline - 0.1)
    assert pair.connection.deadline == deadline


def test_after_a_stop_an_upload_is_read_as_long_as_it_brings_something_in_3_seconds(pair):
    connection = receive(pair, upload(20) + b"abc")
    now = connection.since
    connection.stop(now)
    assert connection.deadline == now + 3
    receive(pair, b"d")
    assert expire(connection) is None
    assert connection.deadline == now + 6
    assert expire(connection) == 408


def test_after_a_stop_an_upload_that_brings_nothing_for_3_seconds_is_408(pair):
    connection = receive(pair, upload(20) + b"abc")
    connection.stop(connection.since)
    assert expire(connection) == 408


def test_after_a_stop_a_kept_connection_is_idle_for_half_a_second(pair):
    connection = receive(pair, POST)
    connection.stop(0)
    connection.respond(b"answer", keep_alive=True)
    assert seconds_left(connection) == 0.5


def test_body_that_is_refused_is_freed_before_the_connection_is_closed(pair):
    connection = receive(pair, upload(20) + b"abc")
    body = weakref.ref(connection._body)
    connection.respond(b"refusal", keep_alive=False)
    assert connection.state is State.DRAINING
    assert body() is None
    assert pair.account.bodies == 0


def test_closed_connection_holds_nothing(pair):
    connection = receive(pair, upload(20) + b"abc")
    connection.close()
    assert (pair.account.bodies, pair.account.buffers) == (0, 0)
    assert connection.sock.fileno() == -1


class SimpleHolder:
    reserved = buffered = 0
