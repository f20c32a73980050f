"""Aborted, stalled and slow uploads: memory must stay within its limit, and other clients must still be answered.

The server has one worker and MAX_UPLOAD_MB=20; the photos have 4 MB. Memory is the PSS of the process tree.
"""

import http.client
import random
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from bench import processes
from bench.checks import Check
from bench.peak import Peak, falls_to
from bench.phones import megabits, upload_all
from bench.servers import Running

SETTINGS: dict[str, int] = {"WEB_CONCURRENCY": 1, "MAX_UPLOAD_MB": 20}
MEMORY = 256.0  # MB
GROWTH = 10.0  # MB that may remain after the uploads have ended
PHOTO_BYTES = 4_000_000
_MB = 2**20
_DECLARED, _SENT = 20 * _MB, 19 * _MB  # bytes of an upload that never ends
_PHOTO_TIMEOUT = 60  # seconds


def padded(photo: bytes) -> bytes:
    """`photo`, a JPEG, with zeros after its end: 4 MB, as phones send it."""
    return photo.ljust(PHOTO_BYTES, b"\0")


def measure(server: Running, photo: bytes, seconds: float) -> Iterator[Check]:
    """Yield the checks of a soak of `seconds` and of every kind of upload. `photo` is a JPEG of at most 4 MB."""
    body = padded(photo)
    send_photo(server.port, body)
    yield from aborted(server)
    yield from stalled(server, body)
    yield from soak(server, body, seconds)


def aborted(server: Running, count: int = 60) -> Iterator[Check]:
    """Send `count` uploads, one after another, that are aborted after 19 of 20 MB."""
    before = processes.memory(server.pid)
    with Peak(server.pid) as peak:
        for _ in range(count):
            with socket.create_connection(("127.0.0.1", server.port), timeout=5) as link, suppress(OSError):
                link.sendall(_head(_DECLARED))
                link.sendall(bytes(_SENT))
    kept = falls_to(server.pid, before + GROWTH) - before
    yield Check(f"memory during {count} aborted uploads", peak.megabytes, "<=", MEMORY, " MB")
    yield Check(f"memory kept after {count} aborted uploads", kept, "<=", GROWTH, " MB")


def stalled(server: Running, body: bytes, count: int = 3, photos: int = 10) -> Iterator[Check]:
    """Send `photos` photos, one after another, beside `count` uploads that have stopped after 19 of 20 MB."""
    with Peak(server.pid) as peak, _stalled_uploads(server.port, count):
        statuses = [send_photo(server.port, body) for _ in range(photos)]
    yield Check(f"photos answered beside {count} stalled uploads, of {photos}", statuses.count(200), ">=", photos)
    yield Check(f"memory beside {count} stalled uploads", peak.megabytes, "<=", MEMORY, " MB")


def phones(server: Running, photo: bytes, count: int, rate: float) -> Iterator[Check]:
    """Send a photo of 4 MB from `count` phones at once, each at `rate` Mbit/s."""
    body = padded(photo)
    with Peak(server.pid) as peak:
        seen = upload_all(server.port, count, body, megabits(rate), timeout=60 + len(body) / megabits(rate))
    answered = [phone.status for phone in seen].count(200)
    yield Check(f"{count} phones at {rate:g} Mbit/s: answered with 200", answered, ">=", count)
    yield Check(f"{count} phones at {rate:g} Mbit/s: memory", peak.megabytes, "<=", MEMORY, " MB")


def soak(server: Running, body: bytes, seconds: float, seed: int = 1) -> Iterator[Check]:
    """Send photos for `seconds`, beside six clients whose uploads are aborted or stall at random positions."""
    stop = threading.Event()
    clients = [
        threading.Thread(target=_misbehave, args=(server.port, random.Random(seed + number), stop))  # noqa: S311
        for number in range(6)
    ]
    statuses: list[int] = []
    memory: list[float] = []
    with Peak(server.pid) as peak:
        for client in clients:
            client.start()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            statuses.append(send_photo(server.port, body))
            memory.append(processes.memory(server.pid, "Pss_Anon"))
        stop.set()
        for client in clients:
            client.join()
    third = max(1, len(memory) // 3)
    growth = statistics.median(memory[-third:]) - statistics.median(memory[:third])
    print(f"        {len(statuses)} photos in {seconds:.0f} s, peak {peak.megabytes:.0f} MB", flush=True)
    yield Check("soak: photos not answered with 200", len(statuses) - statuses.count(200), "<=", 0)
    yield Check("soak: memory", peak.megabytes, "<=", MEMORY, " MB")
    yield Check("soak: memory growth, last third compared with the first", growth, "<=", GROWTH, " MB")


def send_photo(port: int, body: bytes) -> int:
    """The status of one upload on a new connection; 0 if there was no answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PHOTO_TIMEOUT)
    try:
        connection.request("POST", "/predict", body, {"Content-Type": "image/jpeg"})
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException):
        return 0
    else:
        return response.status
    finally:
        connection.close()


@contextmanager
def _stalled_uploads(port: int, count: int) -> Iterator[None]:
    with ExitStack() as stack:
        links = [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=1)) for _ in range(count)]
        for link in links:
            with suppress(OSError):  # less is sent if the server stops reading
                link.sendall(_head(_DECLARED))
                link.sendall(bytes(_SENT))
        yield


def _misbehave(port: int, chance: random.Random, stop: threading.Event) -> None:
    """Send uploads that are aborted at random positions, half of them after a pause of up to 3 s."""
    while not stop.is_set():
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2) as link:
            link.sendall(_head(_DECLARED))
            link.sendall(bytes(chance.randrange(_SENT)))
            stop.wait(chance.choice([0, 3 * chance.random()]))
        stop.wait(0.05)


def _head(length: int) -> bytes:
    return (
        f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: {length}\r\n\r\n"
    ).encode()
