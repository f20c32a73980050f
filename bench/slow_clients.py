"""Slow clients, and what they cost the others.

Loads the server with 8 ordinary connections, with and without 200 more that upload one
byte a second, and then with 200 of Debian's slowhttptest: slow headers, slow bodies, slow reading of the answer.
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
KEPT = 0.90  # of the throughput that there is without slow clients
_JUDGES = {"headers": ["-H"], "bodies": ["-B", "-s", "100000"], "reading": ["-X", "-w", "10", "-y", "20", "-n", "2"]}


@contextmanager
def slow_uploads(port: int, count: int = SLOW) -> Iterator[list[socket.socket]]:
    """`count` connections that each send the head of an upload and then one byte of it a second, from one thread."""
    head = (
        f"POST /predict HTTP/1.1\r\nHost: slow\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
        "Content-Length: 100000\r\n\r\n"
    )
    links = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(count)]
    for link in links:
        link.sendall(head.encode())
        link.setblocking(False)
    stop = threading.Event()

    def drip() -> None:
        while not stop.wait(1):
            for link in links:
                with suppress(OSError):  # the server may well break off
                    link.send(b"-")

    thread = threading.Thread(target=drip)
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
    """200 slow connections of slowhttptest; yields its pid and a list that holds its verdict once the block has ended.

    It gives one every five seconds.
    """
    path, verb = ("/", "GET") if "-X" in mode else ("/predict", "POST")
    load_of_it = ["-c", str(SLOW), "-r", str(SLOW), "-i", "1", "-l", f"{seconds:.0f}", "-p", "3"]
    sent = ["-t", verb, "-f", f"multipart/form-data; boundary={BOUNDARY}", "-u", f"http://127.0.0.1:{port}{path}"]
    process = subprocess.Popen(
        ["slowhttptest", *mode, *load_of_it, *sent], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    verdict = []
    try:
        yield process.pid, verdict
        said, _ = process.communicate(timeout=seconds + 15)
        plain = re.sub(r"\x1b\[[\d;]*[A-Za-z]", "", said)  # it colours even a pipe
        verdict += re.findall(r"service available:\s*(YES|NO)", plain)[-1:]
    finally:
        process.kill()
        process.wait()


def measure(server: Running, body: Path, seconds: float = 5, rounds: int = 3) -> Iterator[Check]:
    """Yield the checks: what is kept of the throughput, the median of `rounds`, by kind of slow client."""
    load.steady(server.url, body, NORMAL, 1)
    yield from uploads(server, body, seconds, rounds)
    for kind, mode in _JUDGES.items():
        yield from _judged(server, body, seconds, rounds, kind, mode)


def uploads(server: Running, body: Path, seconds: float, rounds: int) -> Iterator[Check]:
    """The checks of our own slow uploads."""
    kept, failed = [], 0
    for _ in range(rounds):
        quiet = load.steady(server.url, body, NORMAL, seconds)
        with slow_uploads(server.port):
            time.sleep(1.5)
            beset = load.steady(server.url, body, NORMAL, seconds)
        kept.append(beset.per_second / quiet.per_second)
        failed += beset.not_ok + beset.lost
        time.sleep(0.5)
    yield Check(f"throughput kept beside {SLOW} slow uploads", statistics.median(kept), ">=", KEPT)
    yield Check(f"requests failed beside {SLOW} slow uploads", failed, "<=", 0)


def _judged(server: Running, body: Path, seconds: float, rounds: int, kind: str, mode: list[str]) -> Iterator[Check]:
    kept, unavailable = [], 0
    for _ in range(rounds):
        quiet = load.steady(server.url, body, NORMAL, seconds)
        with slowhttptest(server.port, mode, seconds + 3) as (judge, verdict):
            time.sleep(2)
            before, started = processes.cpu_seconds(judge), time.monotonic()
            beset = load.steady(server.url, body, NORMAL, seconds)
            # It takes up to a fifth of a core for itself. A real client would do that on its own machine.
            own = (processes.cpu_seconds(judge) - before) / (time.monotonic() - started) / len(os.sched_getaffinity(0))
        kept.append(beset.per_second / quiet.per_second / (1 - own))
        unavailable += verdict != ["YES"]
        time.sleep(0.5)
    yield Check(f"throughput kept beside slow {kind}", statistics.median(kept), ">=", KEPT)
    yield Check(f"times that slowhttptest found it unavailable, slow {kind}", unavailable, "<=", 0)
