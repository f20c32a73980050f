"""Slow clients, and how much throughput they take from other clients.

The throughput of 8 ordinary connections is measured without and with 200 slow ones. These upload one byte per second,
or are those of Debian's slowhttptest, which sends headers slowly, sends bodies slowly, or reads answers slowly.
"""

import os
import re
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench import load, processes
from bench.checks import Check
from bench.images import BOUNDARY
from bench.servers import Running

NORMAL, SLOW = 8, 200  # connections
KEPT = 0.90  # share of the throughput without slow clients
_MODES = {"headers": ["-H"], "bodies": ["-B", "-s", "100000"], "reading": ["-X", "-w", "10", "-y", "20", "-n", "2"]}


@contextmanager
def slow_uploads(port: int, count: int = SLOW) -> Iterator[list[socket.socket]]:
    """Open `count` connections, each of which sends the head of an upload and then one byte of its body per second."""
    head = (
        f"POST /predict HTTP/1.1\r\nHost: slow\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
        "Content-Length: 100000\r\n\r\n"
    )
    links = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(count)]
    for link in links:
        link.sendall(head.encode())
        link.setblocking(False)
    stop = threading.Event()

    def send_slowly() -> None:
        while not stop.wait(1):
            for link in links:
                with suppress(OSError):  # the server may close the connection
                    link.send(b"-")

    thread = threading.Thread(target=send_slowly)
    thread.start()
    try:
        yield links
    finally:
        stop.set()
        thread.join()
        for link in links:
            link.close()


@contextmanager
def slowhttptest(port: int, mode: list[str], seconds: float) -> Iterator[tuple[int, list[str]]]:
    """Run slowhttptest with 200 slow connections and the arguments `mode`, for `seconds`.

    Yields its pid and a list, which contains the result, "YES" or "NO", when the block has ended. slowhttptest tests
    every five seconds whether the server is available; the result is that of the last test.
    """
    path, verb = ("/", "GET") if "-X" in mode else ("/predict", "POST")
    connections = ["-c", str(SLOW), "-r", str(SLOW), "-i", "1", "-l", f"{seconds:.0f}", "-p", "3"]
    request = ["-t", verb, "-f", f"multipart/form-data; boundary={BOUNDARY}", "-u", f"http://127.0.0.1:{port}{path}"]
    process = subprocess.Popen(
        ["slowhttptest", *mode, *connections, *request], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    result: list[str] = []
    try:
        yield process.pid, result
        output, _ = process.communicate(timeout=seconds + 15)
        plain = re.sub(r"\x1b\[[\d;]*[A-Za-z]", "", output)  # it writes colours even to a pipe
        result += re.findall(r"service available:\s*(YES|NO)", plain)[-1:]
    finally:
        process.kill()
        process.wait()


def measure(server: Running, body: Path, seconds: float = 5, rounds: int = 3) -> Iterator[Check]:
    """Yield the checks, for each kind of slow client: the share of the throughput that is left, median of `rounds`."""
    load.steady(server.url, body, NORMAL, 1)
    yield from uploads(server, body, seconds, rounds)
    for kind, mode in _MODES.items():
        yield from _with_slowhttptest(server, body, seconds, rounds, kind, mode)


def uploads(server: Running, body: Path, seconds: float, rounds: int) -> Iterator[Check]:
    """The checks beside 200 uploads of one byte a second."""
    kept, failed = [], 0
    for _ in range(rounds):
        baseline = load.steady(server.url, body, NORMAL, seconds)
        with slow_uploads(server.port):
            time.sleep(1.5)
            beside = load.steady(server.url, body, NORMAL, seconds)
        kept.append(beside.per_second / baseline.per_second)
        failed += beside.not_ok + beside.lost
        time.sleep(0.5)
    yield Check(f"share of the throughput beside {SLOW} slow uploads", statistics.median(kept), ">=", KEPT)
    yield Check(f"requests failed beside {SLOW} slow uploads", failed, "<=", 0)


def _with_slowhttptest(
    server: Running, body: Path, seconds: float, rounds: int, kind: str, mode: list[str]
) -> Iterator[Check]:
    kept, unavailable = [], 0
    for _ in range(rounds):
        baseline = load.steady(server.url, body, NORMAL, seconds)
        with slowhttptest(server.port, mode, seconds + 3) as (pid, result):
            time.sleep(2)
            before, started = processes.cpu_seconds(pid), time.monotonic()
            beside = load.steady(server.url, body, NORMAL, seconds)
            # slowhttptest itself takes up to a fifth of a core here. Real clients run on other machines, so its share
            # is not counted.
            own = (processes.cpu_seconds(pid) - before) / (time.monotonic() - started) / len(os.sched_getaffinity(0))
        kept.append(beside.per_second / baseline.per_second / (1 - own))
        unavailable += result != ["YES"]
        time.sleep(0.5)
    yield Check(f"share of the throughput beside slow {kind}", statistics.median(kept), ">=", KEPT)
    yield Check(f"rounds in which slowhttptest found the server unavailable, slow {kind}", unavailable, "<=", 0)
