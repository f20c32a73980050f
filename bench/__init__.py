"""Measures the server: `make bench` compares it with peers, `make soak` is unkind to it. Linux only: it reads /proc."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
MADE = ROOT / "bench" / ".made"  # environments and bundles that are made once and kept; not committed
