"""Stop and restart: SIGTERM with requests in flight; kill -9 of a worker, and a rolling restart, both under load."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from bench import load, processes
from bench.checks import Check
from bench.images import BOUNDARY
from bench.servers import Running

CONNECTIONS = 8
STOP = 10.0  # seconds from SIGTERM to the end, after which Cloud Run sends SIGKILL
_CLOSED = (ConnectionRefusedError, ConnectionResetError)


def sigterm(server: Running, body: Path) -> Iterator[Check]:
    """SIGTERM while 8 uploads are half sent, one has stalled, and 4 keep-alive connections are idle."""
    upload = body.read_bytes()
    half = len(upload) // 2
    links = [_upload(server.port, upload, half) for _ in range(CONNECTIONS)]
    stalled = _upload(server.port, upload, half)
    idle = [_upload(server.port, upload, len(upload)) for _ in range(4)]
    for link in idle:
        _status(link)
    time.sleep(0.3)  # until the server has begun to read every upload
    os.kill(server.pid, signal.SIGTERM)
    started = time.monotonic()
    refused = _first_refusal(server.port, started + 5) - started
    for link in links:
        with suppress(OSError):
            link.sendall(upload[half:])
    statuses = [_status(link) for link in links]
    with suppress(subprocess.TimeoutExpired):
        server.process.wait(STOP + 5)
    seconds = time.monotonic() - started
    yield Check("SIGTERM: new connections refused after", refused, "<=", 2, " s")
    yield Check(f"SIGTERM: uploads in flight answered with 200 ({statuses})", statuses.count(200), ">=", CONNECTIONS)
    yield Check("SIGTERM: process ended after", seconds, "<=", STOP, " s")
    yield Check("SIGTERM: exit status", abs(server.process.returncode or 0), "<=", 0)
    for link in (*links, *idle, stalled):
        link.close()


def kill_9(server: Running, body: Path, seconds: float = 6) -> Iterator[Check]:
    """Kill one worker under load: no more requests are lost than it had connections."""
    load.steady(server.url, body, CONNECTIONS, 1)  # so that all workers have answered
    with load.recording(server.url, [body], '"label"', CONNECTIONS, seconds) as seen:
        time.sleep(seconds / 3)
        before = _workers(server)
        sockets = processes.sockets(before[0])
        os.kill(before[0], signal.SIGKILL)
        started = time.monotonic()
        while len(set(_workers(server)) - set(before)) < 1 and time.monotonic() < started + 10:
            time.sleep(0.02)
        replaced = time.monotonic() - started
    yield Check(f"kill -9: requests lost, of a worker with {sockets} sockets", len(seen.lost), "<=", sockets)
    yield from _no_error("kill -9", seen)
    yield Check("kill -9: another worker after", replaced, "<=", 2, " s")


def rolling(server: Running, body: Path, seconds: float = 8) -> Iterator[Check]:
    """Replace all workers under load, twice (SIGHUP): no request is lost."""
    load.steady(server.url, body, CONNECTIONS, 1)
    with load.recording(server.url, [body], '"label"', CONNECTIONS, seconds) as seen:
        before = set(_workers(server))
        for _ in range(2):
            time.sleep(seconds / 4)
            os.kill(server.pid, signal.SIGHUP)
        time.sleep(seconds / 4)
        replaced = len(before - set(_workers(server)))
    yield Check(f"rolling restart: requests lost, of {sum(seen.statuses.values()):,}", len(seen.lost), "<=", 0)
    yield from _no_error("rolling restart", seen)
    yield Check("rolling restart: workers replaced", replaced, ">=", len(before))


def _no_error(what: str, seen: load.Recording) -> Iterator[Check]:
    other = sum(count for status, count in seen.statuses.items() if status != 200) + seen.wrong.total()
    yield Check(f"{what}: answers other than a correct 200 ({seen.statuses})", other, "<=", 0)
    yield Check(f"{what}: the slowest answer", max(*seen.times.get(200, [0]), *seen.pending, 0), "<=", 2000, " ms")


def _workers(server: Running) -> list[int]:
    return [pid for pid in processes.tree(server.pid)[1:] if processes.alive(pid)]


def _upload(port: int, upload: bytes, length: int) -> socket.socket:
    """Send the head of an upload and the first `length` bytes of its body."""
    link = socket.create_connection(("127.0.0.1", port), timeout=15)
    head = (
        f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
        f"Content-Length: {len(upload)}\r\n\r\n"
    )
    link.sendall(head.encode() + upload[:length])
    return link


def _status(link: socket.socket) -> int:
    """The status of the answer; 0 if there is none."""
    with suppress(OSError):
        answer = link.recv(65536)
        if answer.startswith(b"HTTP/1.1 "):
            return int(answer[9:12])
    return 0


def _first_refusal(port: int, until: float) -> float:
    """When the first new connection was refused, as of time.monotonic(); `until` if none was."""
    while time.monotonic() < until:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                pass
        except _CLOSED:
            return time.monotonic()
        time.sleep(0.02)
    return until
