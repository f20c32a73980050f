"""Load from wrk. Each connection sends its next request when it has received its answer (a closed loop)."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import ROOT
from bench.images import BOUNDARY


class LoadError(Exception):
    """wrk failed; the message is one line."""


@dataclass(frozen=True)
class Steady:
    """The totals of `steady`; times in milliseconds."""

    answers: int
    seconds: float
    p50: float
    p99: float
    not_ok: int
    lost: int

    @property
    def per_second(self) -> float:
        return (self.answers - self.not_ok) / self.seconds


@dataclass
class Recording:
    """The result of `record`: the milliseconds of every answer by status, and of the requests without an answer."""

    seconds: float
    times: dict[int, list[float]] = field(default_factory=dict)
    wrong: Counter[int] = field(default_factory=Counter)  # status -> answers with an unexpected content
    lost: list[float] = field(default_factory=list)  # the connection broke
    pending: list[float] = field(default_factory=list)  # not answered when the load ended; milliseconds until then

    @property
    def statuses(self) -> dict[int, int]:
        return {status: len(times) for status, times in sorted(self.times.items())}

    def per_second(self, status: int = 200) -> float:
        return len(self.times.get(status, ())) / self.seconds

    def percentile(self, status: int, percent: float) -> float:
        """Milliseconds; 0 if no answer had that status."""
        times = sorted(self.times.get(status, ()))
        return times[min(len(times) - 1, int(len(times) * percent / 100))] if times else 0.0


def require(*programs: str) -> None:
    """If some of `programs` are missing, exit with one line that says how to install them."""
    missing = [program for program in programs if not shutil.which(program)]
    if missing:
        sys.exit(f"missing {' and '.join(missing)}: apt-get install {' '.join(missing)}")


def steady(url: str, body: Path, connections: int, seconds: float) -> Steady:
    """Send `body` repeatedly. wrk counts in whole seconds, so `seconds` is rounded up. Raises LoadError."""
    script = str(ROOT / "bench/steady.lua")
    command = [*_wrk(connections, seconds, threads=1), "-s", script, url, "--", str(body), BOUNDARY]
    run = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30)
    for line in run.stdout.splitlines():
        if line.startswith("JSON "):
            return Steady(**json.loads(line.removeprefix("JSON ").replace("-nan", "0").replace("nan", "0")))
    raise LoadError(f"wrk failed: {(run.stderr or run.stdout).strip()[-300:]}")


@contextmanager
def recording(url: str, bodies: list[Path], expected: str, connections: int, seconds: float) -> Iterator[Recording]:
    """Send `bodies` in turn from `connections` while the block runs. The Recording is filled in when the block ends.

    An answer with status 200 must contain `expected`. Raises LoadError.
    """
    with TemporaryDirectory() as folder:
        out = Path(folder) / "answers"
        arguments = ["--", str(out), expected, BOUNDARY, *map(str, bodies)]
        command = [*_wrk(connections, seconds, connections), "-s", str(ROOT / "bench/recording.lua"), url, *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            result = Recording(float(-(-seconds // 1)))
            yield result
            output, _ = process.communicate(timeout=seconds + 30)
        finally:
            process.kill()
            process.wait()
        if not out.is_file():
            raise LoadError(f"wrk failed: {output.strip()[-300:]}")
        _read(out, result)


def record(url: str, bodies: list[Path], expected: str, connections: int, seconds: float) -> Recording:
    """Send `bodies` in turn from `connections` for `seconds`. Raises LoadError."""
    with recording(url, bodies, expected, connections, seconds) as result:
        pass
    return result


def _wrk(connections: int, seconds: float, threads: int) -> list[str]:
    return ["wrk", "-t", str(threads), "-c", str(connections), "-d", f"{-(-seconds // 1):.0f}s", "--timeout", "30s"]


def _read(out: Path, result: Recording) -> None:
    for line in out.read_text().splitlines():
        _, kind, milliseconds, flag = line.split()
        if kind in ("lost", "pending"):
            getattr(result, kind).append(float(milliseconds))
            continue
        result.times.setdefault(int(kind), []).append(float(milliseconds))
        if flag == "wrong":
            result.wrong[int(kind)] += 1
