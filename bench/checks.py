"""What is measured against what is asked, and the one line that says so."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """`value` must be at least (`sense` ">=") or at most ("<=") `bound`."""

    what: str
    value: float
    sense: str
    bound: float
    unit: str = ""

    @property
    def ok(self) -> bool:
        return self.value >= self.bound if self.sense == ">=" else self.value <= self.bound

    def __str__(self) -> str:
        asked = f"asked {self.sense} {self.bound:,.3g}{self.unit}"
        return f"{'ok    ' if self.ok else 'MISSED'}  {self.what}: {self.value:,.3g}{self.unit} ({asked})"


def report(checks: Iterable[Check]) -> list[Check]:
    """Print every check as it comes; return those that were missed."""
    missed = []
    for check in checks:
        print(check, flush=True)
        if not check.ok:
            missed.append(check)
    return missed


def conclude(checks: Iterable[Check]) -> None:
    """Print every check, and end with status 1 where one was missed."""
    if missed := report(checks):
        sys.exit(f"{len(missed)} missed: {'; '.join(check.what for check in missed)}")
