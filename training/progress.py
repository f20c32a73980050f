"""A counter on one line for loops that take more than a moment."""

import sys
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")
REDRAW = 0.1  # seconds


def progress(items: Sequence[Item], verb: str, noun: str) -> Iterator[Item]:
    """Yield the items, counting them on the terminal; in a log file only the last count is written."""
    shown = 0.0
    for done, item in enumerate(items):
        if sys.stdout.isatty() and time.monotonic() - shown > REDRAW:
            shown = time.monotonic()
            print(f"\r{verb} {done:,} of {len(items):,} {noun} ...", end="", flush=True)
        yield item
    start = "\r" if sys.stdout.isatty() else ""
    print(f"{start}{verb} {len(items):,} of {len(items):,} {noun}", flush=True)
