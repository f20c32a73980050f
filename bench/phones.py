"""Clients with slow connections, such as phones: many of them in one process, each with a limited upload rate."""

import asyncio
import time
from dataclasses import dataclass

_STEP = 0.1  # seconds between two pieces


@dataclass
class Outcome:
    """The result of one upload: the status of the answer, 0 if there was none, and the seconds until then."""

    status: int
    seconds: float


def megabits(rate: float) -> int:
    """Convert `rate` from Mbit/s to bytes per second."""
    return int(rate * 1e6 / 8)


def upload_all(port: int, count: int, body: bytes, rate: int, timeout: float) -> list[Outcome]:
    """Upload `body` from `count` clients at once, each with `rate` bytes per second, for at most `timeout` seconds."""

    async def run() -> list[Outcome]:
        return await asyncio.gather(*[_upload(port, body, rate, timeout) for _ in range(count)])

    return asyncio.run(run())


async def _upload(port: int, body: bytes, rate: int, timeout: float) -> Outcome:
    started = time.monotonic()
    status = 0
    try:
        async with asyncio.timeout(timeout):
            # A small buffer: `drain` then waits as long as the server does not read.
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.transport.set_write_buffer_limits(high=0)
            answer = asyncio.ensure_future(reader.readline())
            head = (
                f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            writer.write(head.encode())
            step, at = max(1, int(rate * _STEP)), 0
            try:
                while at < len(body) and not answer.done():
                    writer.write(body[at : at + step])
                    await writer.drain()
                    at += step
                    await asyncio.sleep(max(0, started + at / rate - time.monotonic()))
            except ConnectionError:
                pass  # the server may have answered before it closed the connection
            line = await answer
            status = int(line.split()[1]) if line.startswith(b"HTTP/1.1 ") else 0
            writer.close()
    except (TimeoutError, OSError):
        pass
    return Outcome(status, time.monotonic() - started)
