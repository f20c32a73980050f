"""Load, made by wrk: closed-loop connections, each of which sends its next request when it has its answer."""

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
from bench.pictures import BOUNDARY


class LoadError(Exception):
    """wrk did not do its work; the message is one line."""


@dataclass(frozen=True)
class Steady:
    """What `steady` saw: times in milliseconds."""

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
class Watched:
    """What `watched` saw: the milliseconds of every answer by status, and of requests that got none."""

    seconds: float
    times: dict[int, list[float]] = field(default_factory=dict)
    wrong: Counter = field(default_factory=Counter)  # status -> answers that were not what they should be
    lost: list[float] = field(default_factory=list)  # the connection broke
    pending: list[float] = field(default_factory=list)  # unanswered when the load ended, and for how long

    @property
    def statuses(self) -> dict[int, int]:
        return {status: len(times) for status, times in sorted(self.times.items())}

    def per_second(self, status: int = 200) -> float:
        return len(self.times.get(status, ())) / self.seconds

    def percentile(self, status: int, percent: float) -> float:
        """Milliseconds; 0 where nothing had that status."""
        times = sorted(self.times.get(status, ()))
        return times[min(len(times) - 1, int(len(times) * percent / 100))] if times else 0.0


def require(*programs: str) -> None:
    """End with one line that names the cure where one of `programs` is missing."""
    missing = [program for program in programs if not shutil.which(program)]
    if missing:
        sys.exit(f"{' and '.join(missing)} missing: apt-get install {' '.join(missing)}")


def steady(url: str, body: Path, connections: int, seconds: float) -> Steady:
    """Send `body` over and over. wrk counts in whole seconds, so `seconds` is rounded up."""
    command = [*_wrk(connections, seconds, threads=1), "-s", ROOT / "bench/steady.lua", url, "--", body, BOUNDARY]
    run = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30)
    for line in run.stdout.splitlines():
        if line.startswith("JSON "):
            return Steady(**json.loads(line.removeprefix("JSON ").replace("-nan", "0").replace("nan", "0")))
    raise LoadError(f"wrk failed: {(run.stderr or run.stdout).strip()[-300:]}")


@contextmanager
def watching(url: str, bodies: list[Path], expected: str, connections: int, seconds: float) -> Iterator[Watched]:
    """Send `bodies` in turn from many connections while the block runs; the result is filled in when it ends."""
    with TemporaryDirectory() as folder:
        out = Path(folder) / "answers"
        arguments = ["--", out, expected, BOUNDARY, *bodies]
        command = [*_wrk(connections, seconds, connections), "-s", ROOT / "bench/watchful.lua", url, *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            watched = Watched(float(-(-seconds // 1)))
            yield watched
            said, _ = process.communicate(timeout=seconds + 30)
        finally:
            process.kill()
            process.wait()
        if not out.is_file():
            raise LoadError(f"wrk failed: {said.strip()[-300:]}")
        _read(out, watched)


def watched(url: str, bodies: list[Path], expected: str, connections: int, seconds: float) -> Watched:
    with watching(url, bodies, expected, connections, seconds) as result:
        pass
    return result


def _wrk(connections: int, seconds: float, threads: int) -> list[object]:
    return ["wrk", "-t", str(threads), "-c", str(connections), "-d", f"{-(-seconds // 1):.0f}s", "--timeout", "30s"]


def _read(out: Path, watched: Watched) -> None:
    for line in out.read_text().splitlines():
        _, what, milliseconds, flag = line.split()
        if what in ("lost", "pending"):
            getattr(watched, what).append(float(milliseconds))
            continue
        watched.times.setdefault(int(what), []).append(float(milliseconds))
        if flag == "wrong":
            watched.wrong[int(what)] += 1
