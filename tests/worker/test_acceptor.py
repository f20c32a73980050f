"""Which worker accepts a connection, and when one is moved."""

import errno
import math
import selectors
import socket
import subprocess
import sys
import time

import pytest

from app.worker import acceptor, load_table
from app.worker.acceptor import Acceptor
from tests.conftest import ROOT
from tests.worker.serving import TIMEOUT


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
        assert accepting.retry_at - time.monotonic() < 0.01
        ((sock, _),) = accepting.retry()
        sock.close()


@pytest.mark.parametrize(("mine", "other", "accepted"), [(0, 0, 1), (4, 4, 1), (5, 4, 1), (6, 4, 0)])
def test_connection_is_left_only_to_a_worker_with_clearly_fewer(accepting, listener, mine, other, accepted):
    load_table.report(2, other)
    accepting.set_active(mine)
    with socket.create_connection(listener.getsockname()):
        sockets = [sock for sock, _ in accepting.accept()]
        assert len(sockets) == accepted
        for sock in sockets:
            sock.close()


def test_listening_socket_is_watched_again_after_a_connection_was_left_to_others(accepting, listener):
    load_table.report(2, 0)
    accepting.set_active(1)
    with socket.create_connection(listener.getsockname()):
        assert accepting._selector.select(TIMEOUT)
        list(accepting.accept())
        assert not accepting._selector.get_map()
        for sock, _ in accepting.retry():
            sock.close()
    assert accepting._selector.get_map()
    assert accepting.retry_at == math.inf


def test_listening_socket_is_not_watched_for_a_moment_if_no_file_descriptor_is_left(accepting):
    class Exhausted:
        def accept(self):
            raise OSError(errno.EMFILE, "too many open files")

    watched = accepting._listeners
    accepting._listeners = [*watched, Exhausted()]
    accepting._watch = lambda wanted: watching.append(wanted)
    watching = []
    before = time.monotonic()
    assert list(accepting.accept()) == []
    assert watching == [False]
    assert before + 0.2 < accepting.retry_at < before + TIMEOUT


@pytest.mark.usefixtures("accepting")
def test_new_worker_has_no_active_connections_in_the_load_table():
    load_table.report(2, 5)
    assert load_table.fewest() == 0


def test_stopped_worker_leaves_the_load_table_for_good(accepting):
    load_table.report(2, 5)
    accepting.pause(0)
    assert list(accepting.close()) == []
    accepting.set_active(1)
    accepting.pause(0)
    assert load_table.fewest() == 5
    assert accepting.retry_at == math.inf


def test_pending_connections_are_accepted_before_the_listening_socket_is_closed(accepting, listener):
    with socket.create_connection(listener.getsockname()), socket.create_connection(listener.getsockname()):
        sockets = [sock for sock, _ in accepting.close()]
        assert len(sockets) == 2
        for sock in sockets:
            sock.close()
    assert listener.fileno() == -1


def test_load_table_is_shared_with_forked_processes():
    # In a process of its own: one that has threads should not fork.
    script = """
import os
from app.worker import load_table
if child := os.fork():
    os.waitpid(child, 0)
    print(load_table.fewest())
else:
    load_table.report(1, 7)
    os._exit(0)
"""
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout == "7\n"


@pytest.mark.usefixtures("accepting")
def test_entry_of_a_worker_whose_number_exceeds_the_table_is_kept_in_it():
    load_table.report(1 + load_table._SLOTS, 3)  # gunicorn counts on whenever it replaces a worker
    assert load_table.fewest() == 3


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


@pytest.mark.parametrize(
    ("mine", "other", "moves"), [(8, 0, True), (4, 0, True), (7, 1, True), (6, 2, False), (7, 3, False), (3, 0, False)]
)
def test_connection_is_moved_only_if_the_load_stays_uneven(accepting, mine, other, moves):
    load_table.report(2, other)
    accepting.set_active(mine)
    for _ in range(acceptor._UNEVEN_LOOKS - 1):
        accepting.look()
    assert not accepting.moves_one()
    accepting.look()
    assert accepting.moves_one() == moves
    assert not accepting.moves_one()


def test_load_that_is_uneven_with_interruptions_moves_no_connection(accepting):
    load_table.report(2, 0)
    for _ in range(acceptor._UNEVEN_LOOKS):
        accepting.set_active(8)
        accepting.look()
        accepting.set_active(1)
        accepting.look()
    accepting.set_active(8)
    accepting.look()
    assert not accepting.moves_one()


def test_other_processes_keep_their_listening_socket(accepting, listener):
    other = listener.dup()
    with other:
        assert list(accepting.close()) == []
        with socket.create_connection(other.getsockname()):
            other.accept()[0].close()


def test_while_the_load_stays_uneven_each_look_moves_another_connection(accepting):
    accepting.set_active(8)
    load_table.report(2, 0)
    accepting.look()
    for _ in range(3):
        accepting.look()
        assert accepting.moves_one()
        assert not accepting.moves_one()
