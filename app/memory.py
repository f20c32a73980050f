"""Memory: the container's limit, and glibc's settings, so that a large image's memory returns to the system at once."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # from glibc's malloc.h
_LARGE = 8 * 2**20  # bytes: a photo at twice the size of a model of 224 pixels takes 1 to 5 MiB
_KEPT = 8 * 2**20
_LIMITS = ("memory.max", "memory/memory.limit_in_bytes")  # of cgroup v2 and v1, below /sys/fs/cgroup


def limit(root: Path = Path("/")) -> int | None:
    """The bytes of memory that the container may use, None if there is no limit."""
    for name in _LIMITS:
        with suppress(OSError, ValueError):  # v2 says "max" if there is none, v1 a number close to 2**63
            found = int((root / "sys/fs/cgroup" / name).read_text())
            return found if found < 2**60 else None
    return None


def configure() -> None:
    """Set what glibc otherwise adapts on its own, to values that are too high, and separately for each thread.

    A block over 8 MiB returns to the system when it is freed. By default glibc raises that threshold to the size of the
    first such block, up to 32 MiB, and after a few large images a worker held 290 to 530 MB instead of 90. Free memory
    at the end of the heap is kept up to 8 MiB: returning it and requesting it again for every image took a fifth of the
    time. One heap is enough, because two threads rarely allocate at once.
    """
    with _glibc() as glibc:
        glibc.mallopt(_M_MMAP_THRESHOLD, _LARGE)
        glibc.mallopt(_M_TRIM_THRESHOLD, _KEPT)
        glibc.mallopt(_M_ARENA_MAX, 1)


def release() -> None:
    """Return all free memory to the system, also from the middle of the heap. Takes milliseconds: call it when idle."""
    with _glibc() as glibc:
        glibc.malloc_trim(0)


@contextmanager
def _glibc() -> Iterator[ctypes.CDLL]:
    with suppress(AttributeError, OSError, TypeError):  # macOS and Alpine have another C library
        yield ctypes.CDLL(None)
