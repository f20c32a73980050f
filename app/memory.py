"""How glibc keeps memory: enough for the next picture, and what a large one took is given back at once."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # from glibc's malloc.h
_LARGE = 8 * 2**20  # bytes: a photo at twice the size of a model of 224 pixels takes 1 to 5 MiB
_KEPT = 8 * 2**20


def configure() -> None:
    """Set what glibc would find out by itself, too high, and once for each thread.

    A block over 8 MiB goes back to the system when it is freed; by itself glibc raises that size with the first large
    block, to 32 MiB, and after a few large pictures a worker held 290 to 530 MB instead of 90. What is free at the end
    of the heap stays up to 8 MiB: given back and asked for again with every picture, it took a fifth of the time.
    One heap is enough: hardly ever do two threads allocate at once.
    """
    with _glibc() as glibc:
        glibc.mallopt(_M_MMAP_THRESHOLD, _LARGE)
        glibc.mallopt(_M_TRIM_THRESHOLD, _KEPT)
        glibc.mallopt(_M_ARENA_MAX, 1)


def release() -> None:
    """Give back whatever is free, in the middle of the heap too. Takes milliseconds: for a moment of rest."""
    with _glibc() as glibc:
        glibc.malloc_trim(0)


@contextmanager
def _glibc() -> Iterator[ctypes.CDLL]:
    with suppress(AttributeError, OSError, TypeError):  # macOS and Alpine have another C library
        yield ctypes.CDLL(None)
