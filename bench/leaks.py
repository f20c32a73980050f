"""Leaks: 100,000 requests of good and bad pictures; memory and open files must stay what they were."""

import io
import random
import statistics
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from bench import load, processes
from bench.checks import Check
from bench.images import BOUNDARY, photo, upload
from bench.servers import Running

CONNECTIONS = 8
WARM = 0.1  # of all requests: until every thread has run and the allocator has what it wants
GROWTH = 5.0  # MB
EXPECTED = {200, 400, 413, 415, 422, 503}  # 503: on a machine that is busy with something else


def bodies(folder: Path) -> list[Path]:
    """Uploads of every format, sound and damaged, written to `folder`."""
    picture, chance = photo((320, 240), 3), random.Random(1)  # noqa: S311 - the same bytes every time
    sound = {form.lower(): _encoded(picture, form) for form in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP")}
    sound |= {
        "turned.jpeg": _encoded(picture, "JPEG", exif=_turned()),
        "progressive.jpeg": _encoded(picture, "JPEG", progressive=True),
        "medium.jpeg": _encoded(photo((1280, 960), 3), "JPEG"),
        "transparent.png": _encoded(picture.convert("RGBA"), "PNG"),
    }
    bad = {f"short.{name}": data[: len(data) // 3] for name, data in sound.items()}
    bad |= {f"garbled.{name}": data[:100] + chance.randbytes(2000) + data[2100:] for name, data in sound.items()}
    bad |= {"huge.png": _huge(), "text.txt": b"not a picture", "empty.jpeg": b"", "random": chance.randbytes(5000)}
    files = []
    for name, data in (*sound.items(), *bad.items()):
        files.append(folder / f"{name}.body")
        files[-1].write_bytes(upload(data, name))
    parts = upload(sound["jpeg"], "good.jpeg").removesuffix(f"--{BOUNDARY}--\r\n".encode())
    several, cut = folder / "several.body", folder / "cut.body"
    several.write_bytes(parts + upload(bad["short.png"], "bad.png"))
    cut.write_bytes(parts)
    return [*files, several, cut]


def measure(server: Running, folder: Path, requests: int = 100_000) -> Iterator[Check]:
    """Send about `requests` requests; yield the checks."""
    sent, statuses, broken, states = bodies(folder), Counter(), 0, []
    while statuses.total() < requests:
        seen = load.record(server.url, sent, '"label"', CONNECTIONS, 10 if requests > 20_000 else 2)
        statuses.update(seen.statuses)
        broken += len(seen.lost)
        states.append((statuses.total(), *_state(server.pid)))
        print("        {:>7,} requests: {:.1f} MB, {} open files".format(*states[-1]), flush=True)
    warm = [state for state in states if state[0] >= WARM * requests]
    third = max(1, len(warm) // 3)
    first, last = warm[:third], warm[-third:]
    # What the allocator holds back goes up and down by some MB: hence medians. From the first third to the last is two
    # thirds of the way.
    growth = 1.5 * (statistics.median(state[1] for state in last) - statistics.median(state[1] for state in first))
    unexpected = sum(count for status, count in statuses.items() if status not in EXPECTED)
    yield Check(f"memory growth over {statuses.total():,} requests", growth, "<=", GROWTH, " MB")
    yield Check("open files more than after the warm-up", last[-1][2] - first[0][2], "<=", 0)
    yield Check(f"answers that no such picture should get, of {dict(statuses)}", unexpected, "<=", 0)
    yield Check("connections broken off", broken, "<=", 0)


def _state(pid: int) -> tuple[float, int]:
    """Memory and open files, once the load's connections are gone."""
    time.sleep(0.5)
    return processes.memory(pid, "Pss_Anon"), processes.files(pid)


def _encoded(image: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    return exif


def _huge() -> bytes:
    """A PNG whose header promises 50,000 x 50,000 pixels."""
    data = bytearray(_encoded(Image.new("1", (8, 8)), "PNG"))
    data[16:24] = (50_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)
