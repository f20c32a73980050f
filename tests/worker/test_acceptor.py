"""Which worker accepts a connection, and when one is moved."""

import selectors
import socket

import pytest

from app.worker import acceptor, load_table
from app.worker.acceptor import Acceptor
from tests.conftest import ROOT


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


@pytest.fixture
def accepting(listener):
    with selectors.DefaultSelector() as selector:
        yield Acceptor(1, [listener], selector)
        load_table.remove(1)
        load_table.remove(2)


def test_connection_is_left_to_a_less_loaded_worker_for_a_moment(accepting, listener):
    load_table.report(2, 0)
    accepting.set_active(1)
    with socket.create_connection(listener.getsockname()):
        assert list(accepting.accept()) == []
        assert accepting.retry_at < float("inf")
        ((sock, _),) = accepting.retry()
        sock.close()


def test_one_connection_is_accepted_at_a_time(accepting, listener):
    load_table.report(2, 8)  # this count may be out of date: all clients may just have reconnected
    with socket.create_connection(listener.getsockname()), socket.create_connection(listener.getsockname()):
        ((sock, _),) = accepting.accept()
        sock.close()


def test_worker_that_has_ended_is_not_waited_for(accepting, listener):
    load_table.report(2, 0)
    accepting.set_active(1)
    load_table.remove(2)
    with socket.create_connection(listener.getsockname()):
        ((sock, _),) = accepting.accept()
        sock.close()


def test_dead_workers_entry_is_removed_by_gunicorns_hook():
    settings = {"__name__": "gunicorn_conf"}
    with (ROOT / "gunicorn.conf.py").open() as file:
        exec(compile(file.read(), "gunicorn.conf.py", "exec"), settings)
    load_table.report(7, 0)
    load_table.report(8, 5)
    try:
        settings["child_exit"](None, type("Worker", (), {"age": 7}))
        assert load_table.fewest() == 5
    finally:
        load_table.remove(7)
        load_table.remove(8)


@pytest.mark.parametrize(("mine", "other", "moves"), [(8, 0, True), (7, 1, True), (6, 2, False), (3, 0, False)])
def test_connection_is_moved_only_if_the_load_stays_uneven(accepting, mine, other, moves):
    load_table.report(2, other)
    accepting.set_active(mine)
    for _ in range(acceptor._UNEVEN_LOOKS - 1):
        accepting.look()
    assert not accepting.moves_one()
    accepting.look()
    assert accepting.moves_one() == moves
    assert not accepting.moves_one()


def test_other_processes_keep_their_listening_socket(accepting, listener):
    other = listener.dup()
    with other:
        assert list(accepting.close()) == []
        with socket.create_connection(other.getsockname()):
            other.accept()[0].close()
