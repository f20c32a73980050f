"""Leaks: 100,000 requests with valid and invalid images. Memory and open files must not grow."""

import io
import random
import statistics
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from app import image_formats
from bench import load, processes
from bench.checks import Check
from bench.images import BOUNDARY, photo, upload
from bench.servers import Running

CONNECTIONS = 8
WARM_UP = 0.1  # share of all requests, until every thread has run and the allocator has reached its size
GROWTH = 5.0  # MB, at most
EXPECTED = {200, 400, 413, 415, 422, 503}  # 503: if other programs keep the machine busy


def bodies(folder: Path) -> list[Path]:
    """Write uploads of every format, valid and damaged, to `folder`."""
    image, chance = photo((320, 240), 3), random.Random(1)  # noqa: S311 - the same bytes every time
    valid = {known.name.lower(): _encoded(image, known.name) for known in image_formats.FORMATS}
    valid |= {
        "rotated.jpeg": _encoded(image, "JPEG", exif=_rotated()),
        "progressive.jpeg": _encoded(image, "JPEG", progressive=True),
        "medium.jpeg": _encoded(photo((1280, 960), 3), "JPEG"),
        "transparent.png": _encoded(image.convert("RGBA"), "PNG"),
    }
    invalid = {f"truncated.{name}": data[: len(data) // 3] for name, data in valid.items()}
    invalid |= {f"corrupt.{name}": data[:100] + chance.randbytes(2000) + data[2100:] for name, data in valid.items()}
    invalid |= {"huge.png": _huge(), "text.txt": b"not an image", "empty.jpeg": b"", "random": chance.randbytes(5000)}
    files = []
    for name, data in (*valid.items(), *invalid.items()):
        files.append(folder / f"{name}.body")
        files[-1].write_bytes(upload(data, name))
    parts = upload(valid["jpeg"], "valid.jpeg").removesuffix(f"--{BOUNDARY}--\r\n".encode())
    several, cut = folder / "several.body", folder / "cut.body"
    several.write_bytes(parts + upload(invalid["truncated.png"], "truncated.png"))
    cut.write_bytes(parts)
    return [*files, several, cut]


def measure(server: Running, folder: Path, requests: int = 100_000) -> Iterator[Check]:
    """Send about `requests` requests; yield the checks."""
    sent, lost = bodies(folder), 0
    statuses: Counter[int] = Counter()
    states: list[tuple[int, float, int]] = []  # requests so far, MB, open files
    while statuses.total() < requests:
        seen = load.record(server.url, sent, '"label"', CONNECTIONS, 10 if requests > 20_000 else 2)
        statuses.update(seen.statuses)
        lost += len(seen.lost)
        states.append((statuses.total(), *_state(server.pid)))
        print("        {:>7,} requests: {:.1f} MB, {} open files".format(*states[-1]), flush=True)
    warm = [state for state in states if state[0] >= WARM_UP * requests]
    third = max(1, len(warm) // 3)
    first, last = warm[:third], warm[-third:]
    # Medians, because what the allocator keeps varies by some MB. Times 1.5, because two thirds of all requests are
    # between the middle of the first third and the middle of the last.
    growth = 1.5 * (statistics.median(state[1] for state in last) - statistics.median(state[1] for state in first))
    unexpected = sum(count for status, count in statuses.items() if status not in EXPECTED)
    yield Check(f"memory growth over {statuses.total():,} requests", growth, "<=", GROWTH, " MB")
    yield Check("open files in addition to those after the warm-up", last[-1][2] - first[0][2], "<=", 0)
    yield Check(f"answers with an unexpected status, of {dict(statuses)}", unexpected, "<=", 0)
    yield Check("connections lost", lost, "<=", 0)


def _state(pid: int) -> tuple[float, int]:
    """Memory in MB and open files, after the load's connections have been closed."""
    time.sleep(0.5)
    return processes.memory(pid, "Pss_Anon"), processes.files(pid)


def _encoded(image: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def _rotated() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: rotated by 90 degrees
    return exif


def _huge() -> bytes:
    """A PNG whose header says 50,000 x 50,000 pixels."""
    data = bytearray(_encoded(Image.new("1", (8, 8)), "PNG"))
    data[16:24] = (50_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)
