"""Overload: 160 connections that never pause, far more than two cores can answer.

Those that are let in must be answered rightly and soon, the others told at once to come back, and nothing must break.
"""

import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from bench import load, processes
from bench.checks import Check
from bench.servers import Running, post

CONNECTIONS = 160
ACCEPTED_MS, REFUSED_MS, HANG_MS = 2000, 500, 5000  # p99, p99, any
OF_PEAK = 0.70
GROWTH = 5.0  # MB, second half against the first
BACK = 1.0  # seconds until it answers as before
_IN_A_ROW = 5


def measure(server: Running, body: Path, seconds: float = 60) -> Iterator[Check]:
    """Overload the server for `seconds`; yield the checks."""
    picture = body.read_bytes()
    label = json.loads(post(server.port, picture)[1])["predictions"][0]["label"]
    expected = f'"label": "{label}"'
    load.steady(server.url, body, 8, 1)
    peak = load.record(server.url, [body], expected, 8, max(3, seconds / 6)).per_second()
    time.sleep(0.5)
    calm = statistics.median(_timed(server.port, picture)[1] for _ in range(20))
    with load.recording(server.url, [body], expected, CONNECTIONS, seconds) as seen:
        started, memory = time.monotonic(), []
        while (left := started + seconds - time.monotonic()) > 0:
            time.sleep(min(left, 0.5))
            memory.append(processes.memory(server.pid, "Pss_Anon"))
        back = _back_to(calm, server.port, picture)
    half = len(memory) // 2
    print(
        f"        peak {peak:,.0f}/s; {CONNECTIONS} connections: {seen.statuses}, {seen.per_second():,.0f} accepted/s, "
        f"{seen.per_second(503):,.0f} refused/s",
        flush=True,
    )
    others = sum(count for status, count in seen.statuses.items() if status not in (200, 503))
    everything = [*(time for times in seen.times.values() for time in times), *seen.pending, *seen.lost]
    yield Check("accepted, of the peak", seen.per_second() / peak, ">=", OF_PEAK)
    yield Check("accepted, p99", seen.percentile(200, 99), "<=", ACCEPTED_MS, " ms")
    yield Check("refused, p99", seen.percentile(503, 99), "<=", REFUSED_MS, " ms")
    yield Check("the slowest of all, or still waiting at the end", max(everything), "<=", HANG_MS, " ms")
    yield Check("wrong answers, or 503 without Retry-After", seen.wrong.total(), "<=", 0)
    yield Check("answers other than 200 and 503", others, "<=", 0)
    yield Check("connections broken off", len(seen.lost), "<=", 0)
    yield Check(
        "memory growth, second half against the first", max(memory[half:]) - max(memory[:half]), "<=", GROWTH, " MB"
    )
    yield Check("back to normal", back, "<=", BACK, " s")


def _timed(port: int, picture: bytes) -> tuple[int, float]:
    """The status and the seconds of one request."""
    started = time.perf_counter()
    status, _ = post(port, picture)
    return status, time.perf_counter() - started


def _back_to(calm: float, port: int, picture: bytes) -> float:
    """Seconds until the first of five answers in a row that are 200 and come about as fast as when it is calm."""
    started = time.monotonic()
    first, row = started, 0
    while row < _IN_A_ROW and time.monotonic() < started + 10:
        asked = time.monotonic()
        try:
            status, seconds = _timed(port, picture)
        except OSError:
            status, seconds = 0, 0.0
        # Three times, and 20 ms for the load generator, which is still counting its answers on the same cores.
        row = row + 1 if status == 200 and seconds < 3 * calm + 0.02 else 0
        first = first if row > 1 else asked
    return first - started if row == _IN_A_ROW else float("inf")
