"""A measured value, its target, and one line that shows both."""

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
        target = f"target {self.sense} {self.bound:,.3g}{self.unit}"
        return f"{'ok    ' if self.ok else 'MISSED'}  {self.what}: {self.value:,.3g}{self.unit} ({target})"


def report(checks: Iterable[Check]) -> list[Check]:
    """Print each check as soon as it is measured; return those that missed their target."""
    missed = []
    for check in checks:
        print(check, flush=True)
        if not check.ok:
            missed.append(check)
    return missed


def conclude(checks: Iterable[Check]) -> None:
    """Print every check; exit with status 1 if one missed its target."""
    if missed := report(checks):
        sys.exit(f"{len(missed)} missed: {'; '.join(check.what for check in missed)}")
