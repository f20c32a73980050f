"""A one-line progress counter for loops that take more than a moment."""

import sys
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")
REDRAW_SECONDS = 0.1


def progress(items: Sequence[Item], description: str, unit: str) -> Iterator[Item]:
    """Yield the items and count them on standard output; if that is not a terminal, print only the final count."""
    terminal = sys.stdout.isatty()
    drawn_at = 0.0
    for done, item in enumerate(items):
        if terminal and time.monotonic() - drawn_at > REDRAW_SECONDS:
            drawn_at = time.monotonic()
            print(f"\r{description}: {done:,} of {len(items):,} {unit} ...", end="", flush=True)
        yield item
    line = f"{description}: {len(items):,} of {len(items):,} {unit}"
    print(f"\r{line}    " if terminal else line, flush=True)  # the spaces overwrite the dots
