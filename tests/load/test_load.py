"""Short versions of the measurements of `make soak`, with wide limits, because a test machine may be busy.

They need Linux and Debian's wrk and slowhttptest, and take about two minutes. `make soak` has the real limits.
"""

import http.client
import re
import socket
import time

import pytest

from bench import leaks, load, overload, restarts, slow_clients, uploads
from bench.servers import OURS, running
from tests.conftest import IMAGENET
from tests.server.photos import photo


def assert_hold(checks, **bounds):
    """Every check must hold. `bounds` replaces the bound of the checks whose text its names match, as a regex."""
    missed = []
    for check in checks:
        bound = next((bound for word, bound in bounds.items() if re.search(word, check.what)), check.bound)
        ok = check.value >= bound if check.sense == ">=" else check.value <= bound
        missed += [] if ok else [f"{check}; bound in this test: {bound}"]
    assert missed == []


def test_two_hundred_slow_uploads_do_not_stop_other_clients(server, body):
    assert_hold(slow_clients.uploads(server, body, 2, 2), throughput=0.5, failed=20)


def test_slowhttptest_finds_the_server_available(server, body):
    with slow_clients.slowhttptest(server.port, ["-H"], 6) as (_, result):
        time.sleep(1.5)
        beside = load.steady(server.url, body, slow_clients.NORMAL, 2)
    assert beside.per_second > 10
    assert result == ["YES"]


def test_clients_that_keep_their_connection_open_after_close_do_not_block_others(server):
    links = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(20)]
    for link in links:
        link.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    started = time.monotonic()
    for _ in range(4):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        connection.request("GET", "/health")
        assert connection.getresponse().status == 200
        connection.close()
    assert time.monotonic() - started < 2
    for link in links:
        link.close()


def test_stalled_and_aborted_uploads_take_neither_memory_nor_availability(body):
    with running(OURS, body.read_bytes(), MODEL=IMAGENET, **uploads.SETTINGS) as server:
        assert_hold(uploads.measure(server, photo(), 15), growth=30)


def test_under_overload_requests_are_answered_or_refused_with_503(server, body):
    # Errors must not happen on any machine; the times depend on its load.
    assert_hold(overload.measure(server, body, 6), peak=0.4, p99=4000, slowest=8000, growth=15, normal=4)


def test_sigterm_finishes_requests_in_flight_and_refuses_new_ones(server, body):
    assert_hold(restarts.sigterm(server, body))


def test_killed_worker_loses_only_its_own_requests(server, body):
    assert_hold(restarts.kill_9(server, body, 3), **{"other than": 20, "slowest": 5000, "another": 5})


def test_rolling_restart_loses_no_request(server, body):
    assert_hold(restarts.rolling(server, body, 5), **{"other than": 20, "slowest": 5000})


def test_valid_and_invalid_images_leak_no_memory(server, tmp_path):
    # Memory still grows during these requests, which are a warm-up. A leak in every request would exceed this limit.
    assert_hold(leaks.measure(server, tmp_path, 3000), memory=40)


def test_missing_program_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SystemExit, match=r"^missing wrk and slowhttptest: apt-get install wrk slowhttptest$"):
        load.require("wrk", "slowhttptest")
