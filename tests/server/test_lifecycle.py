"""Signals: the server stops promptly, hands over to a new master, and loses no answer on the way.

Every test has a server of its own. Needs Linux, because it reads /proc. Takes about 20 seconds.
"""

import os
import signal
import subprocess
import threading
import time
from contextlib import ExitStack, suppress

import pytest

from bench import processes
from tests.server.photos import photo, slow, small
from tests.server.serving import GUNICORN, SERVED, is_ready, request, serving
from tests.server.wire import Client

JPEG = {"Content-Type": "image/jpeg"}
HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


def head(length, *fields):
    lines = ["POST /predict HTTP/1.1", "Host: x", "Content-Type: image/jpeg", f"Content-Length: {length}", *fields]
    return "\r\n".join([*lines, "", ""]).encode()


def ended_within(process, seconds):
    """Seconds until the process has ended; fails after `seconds`."""
    started = time.monotonic()
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    assert process.returncode is not None, f"still running {seconds} s after its last answer"
    return time.monotonic() - started


@pytest.fixture
def server():
    with serving(MAX_UPLOAD_MB=20) as server:
        yield server


def test_sigterm_ends_promptly_with_idle_connections_open(server):
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(server.port)) for _ in range(4)]
        for client in clients:
            client.send(HEALTH)
            assert client.read().status == 200
        server.process.send_signal(signal.SIGTERM)
        ended_within(server.process, 4)
    assert server.process.returncode == 0


def test_sigterm_ends_promptly_after_the_last_answer(server):
    with Client(server.port) as idle, Client(server.port) as uploading:
        idle.send(HEALTH)
        assert idle.read().status == 200
        uploading.send(head(len(photo())) + photo()[:1_000_000])
        assert request(server.port, "GET", "/health")[0] == 200
        server.process.send_signal(signal.SIGTERM)
        time.sleep(1.5)  # longer than idle connections are kept open
        uploading.send(photo()[1_000_000:])
        answer = uploading.read()
        assert answer
        assert answer.status == 200
        assert answer.fields["connection"] == "close"
        ended_within(server.process, 4)
    assert server.process.returncode == 0


def test_sigterm_during_a_long_answer_ends_promptly_after_it(server):
    with Client(server.port) as client:
        client.send(head(len(slow())) + slow())
        time.sleep(0.1)  # it is being decoded, which takes two tenths of a second and more
        server.process.send_signal(signal.SIGTERM)
        answer = client.read()
        assert answer
        assert answer.status == 200
        ended_within(server.process, 4)
    assert server.process.returncode == 0


def test_sigterm_ends_although_an_upload_has_stalled(server):
    with Client(server.port) as stalled:
        stalled.send(head(20 * 2**20) + bytes(1_000_000))
        assert request(server.port, "GET", "/health")[0] == 200
        server.process.send_signal(signal.SIGTERM)
        assert ended_within(server.process, 10) < 9.5  # Cloud Run kills after 10 s
    assert server.process.returncode == 0


def test_request_on_its_way_when_sigterm_arrives_is_answered(server):
    for _ in range(20):
        with Client(server.port) as client:
            client.send(HEALTH)
            assert client.read().status == 200
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(server.port)) for _ in range(8)]
        for client in clients:
            client.send(HEALTH)
            assert client.read().status == 200
        server.process.send_signal(signal.SIGTERM)
        for client in clients:
            client.send(head(len(small())) + small())
        statuses = [answer.status if (answer := client.read()) else 0 for client in clients]
    assert statuses == [200] * 8


class Visitors:
    """Threads that send requests on new connections until stopped, and note every failure."""

    def __init__(self, port, count=4):
        self.answered, self.failures = 0, []
        self._port, self._stop = port, threading.Event()
        self._threads = [threading.Thread(target=self._visit) for _ in range(count)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _visit(self):
        while not self._stop.wait(0.01):
            try:
                status, _ = request(self._port, "POST", "/predict", small(), timeout=30, **JPEG)
            except Exception as error:  # a lost request, whatever it was lost by
                self.failures.append(repr(error))
            else:
                self.answered += 1
                if status != 200:
                    self.failures.append(status)


def masters(server):
    """The pids of gunicorn's masters that descend from the first one, which may have ended: (old, new)."""
    children = processes.tree(server.pid)[1:]
    new = [pid for pid in children if len(processes.tree(pid)) > 1]
    return server.pid, new[0] if new else None


@pytest.mark.parametrize("stop", [signal.SIGQUIT, signal.SIGTERM], ids=["QUIT", "TERM"])
def test_sigusr2_hands_over_to_a_new_master_without_losing_a_request(server, stop):
    new = None
    try:
        with Visitors(server.port) as visitors:
            time.sleep(0.5)
            os.kill(server.pid, signal.SIGUSR2)
            deadline = time.monotonic() + 20
            while not (new := masters(server)[1]) and time.monotonic() < deadline:
                time.sleep(0.05)
            assert new, f"no new master: {server.log.read_text()[-1000:]}"
            time.sleep(1)  # both answer
            # QUIT ends a worker at once, by gunicorn's definition: TERM loses nothing even under load.
            if stop == signal.SIGTERM:
                os.kill(server.pid, stop)
                ended_within(server.process, 10)
                before = visitors.answered
                deadline = time.monotonic() + 10
                while visitors.answered < before + 20 and time.monotonic() < deadline:
                    time.sleep(0.05)
                assert visitors.answered >= before + 20
        assert visitors.failures == []
        if stop == signal.SIGQUIT:
            os.kill(server.pid, stop)
            ended_within(server.process, 10)
        assert is_ready(server.port)
        assert processes.alive(new)
    finally:
        if new:
            processes.stop(new)


def test_sighup_replaces_the_workers_without_losing_a_request(server):
    old = processes.tree(server.pid)[1:]
    with Visitors(server.port) as visitors:
        time.sleep(0.5)
        os.kill(server.pid, signal.SIGHUP)
        deadline = time.monotonic() + 15
        while any(processes.alive(pid) for pid in old) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not any(processes.alive(pid) for pid in old)
        time.sleep(0.5)
    assert visitors.failures == []
    assert visitors.answered > 20


def test_idle_connections_are_kept_longer_than_google_load_balancers_keep_theirs():
    """Google's load balancers keep a backend connection for 600 s: a backend that closes first causes 502 answers."""
    run = subprocess.run(
        [GUNICORN, "--print-config"], cwd=SERVED, capture_output=True, text=True, check=True, timeout=60
    )
    (line,) = [line for line in run.stdout.splitlines() if line.startswith("keepalive ")]
    assert int(line.split("=")[1]) > 600
