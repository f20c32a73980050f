"""Measures the server: `make bench` compares it with other servers, `make soak` tests it under stress.

Linux only, because it reads /proc.
"""

from pathlib import Path

ROOT = Path(__file__).parent.parent
CACHE = ROOT / "bench" / ".made"  # environments and models that are made once and kept; not committed
