"""From samples to figures, and from figures to Markdown: medians, and shares of the no-HTTP bound of the same round."""

import json
import math
import os
import platform
import statistics
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from bench import ROOT
from bench.rounds import BOUND, Lengths, Sample
from bench.servers import OURS, PEERS

TITLES = {BOUND: "no-HTTP bound"} | {server.name: server.title for server in (OURS, *PEERS)}


class Figures(NamedTuple):
    """The figures of one server with one model. What does not apply to the no-HTTP bound is None."""

    per_second: dict[str, float]  # median, by image size
    share: dict[str, float]  # median share of the no-HTTP bound of the same round, by image size
    single_client_ms: float
    p99_ms: dict[str, float] | None  # by image size
    first_answer: float | None  # seconds
    memory: float | None  # MB
    kept_beside_slow: float | None  # throughput beside slow uploads, relative to that without them
    same_answers: int  # number of images with the same best label as the no-HTTP bound
    failures: int  # of all rounds


def summary(rounds: dict[str, list[Sample]]) -> dict[str, Figures]:
    """Turn the samples of one model, {server name: one sample per round}, into {server name: figures}."""
    return {name: _figures(samples, rounds[BOUND]) for name, samples in rounds.items()}


def _figures(samples: list[Sample], bounds: list[Sample]) -> Figures:
    sizes = samples[0].per_second
    pairs = list(zip(samples, bounds, strict=True))
    latencies = [sample.p99_ms for sample in samples if sample.p99_ms]
    return Figures(
        per_second={size: statistics.median(sample.per_second[size] for sample in samples) for size in sizes},
        share={
            size: statistics.median(sample.per_second[size] / bound.per_second[size] for sample, bound in pairs)
            for size in sizes
        },
        single_client_ms=statistics.median(sample.single_client_ms for sample in samples),
        p99_ms={size: statistics.median(each[size] for each in latencies) for size in sizes} if latencies else None,
        first_answer=_median([sample.first_answer for sample in samples]),
        memory=_median([sample.memory for sample in samples]),
        kept_beside_slow=_median([_kept(sample) for sample in samples]),
        same_answers=sum(samples[0].labels[size] == bounds[0].labels[size] for size in sizes),
        failures=sum(sample.failures for sample in samples),
    )


def _kept(sample: Sample) -> float | None:
    """Throughput beside slow uploads, relative to that without them; 0 if the server answered no request."""
    if sample.beside_slow is None:
        return None
    return sample.beside_slow / (sample.per_second["small"] or math.inf)


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def machine() -> dict[str, str]:
    """The date, the machine, and the versions of what is measured."""
    cpu = "unknown CPU"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    packages = ("ai-edge-litert", "flask", "gunicorn", "numpy", "pillow")
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "cpu": cpu,
        "cores": str(len(os.sched_getaffinity(0))),
        "load_before": f"{os.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
        **{package: version(package) for package in packages},
    }


def comparison(models: dict[str, dict[str, Figures]], about: dict[str, str], lengths: Lengths) -> str:
    """All servers as Markdown: one table per model, {model name: {server name: figures}}."""
    lines = [
        f"{about['cpu']}, {about['cores']} cores, {about['date']}; Python {about['python']}, LiteRT "
        f"{about['ai-edge-litert']}, Pillow {about['pillow']}, gunicorn {about['gunicorn']}; {lengths.rounds} "
        f"round{'s' * (lengths.rounds > 1)} of {lengths.loaded} s, 8 connections, 2 worker processes. "
        "Shares are relative to the no-HTTP bound of the same round.",
    ]
    for model, servers in models.items():
        head = (
            "server | images/s: small, medium, large | share of the no-HTTP bound | single client, p50 | first answer"
        )
        lines += ["", f"**{model}**", "", f"| {head} | memory |", "|---|---|---|---|---|---|"]
        lines += [_row(name, found) for name, found in servers.items()]
        notes = [f"- {TITLES[name]}: {note}" for name, found in servers.items() for note in _notes(found)]
        lines += ["", *notes] if notes else []
    return "\n".join(lines) + "\n"


def _row(name: str, found: Figures) -> str:
    cells = [
        _title(name),
        _joined(found.per_second, ",.0f"),
        "1" if name == BOUND else _joined(found.share, ".2f"),
        f"{found.single_client_ms:.1f} ms",
        "" if found.first_answer is None else f"{found.first_answer:.2f} s",
        "" if found.memory is None else f"{found.memory:.0f} MB",
    ]
    return f"| {' | '.join(cells)} |"


def _notes(found: Figures) -> list[str]:
    notes = []
    if (different := len(found.share) - found.same_answers) > 0:
        notes.append(f"a different answer for {different} of {len(found.share)} images")
    if found.failures:
        notes.append(f"{found.failures} requests failed")
    return notes


def same_app(models: dict[str, dict[str, Figures]]) -> str:
    """The servers that serve our app, as one Markdown table: throughput, tail latency, memory, slow clients."""
    lines = [
        "| model | server | images/s: small, medium, large | p99: small, medium, large | memory "
        "| throughput kept beside 200 slow uploads |",
        "|---|---|---|---|---|---|",
    ]
    for model, servers in models.items():
        for name, found in servers.items():
            if found.p99_ms and found.memory and found.kept_beside_slow is not None:  # a server of our app
                lines.append(
                    f"| {model} | {_title(name)} | {_joined(found.per_second, ',.0f')} "
                    f"| {_joined(found.p99_ms, ',.0f')} ms | {found.memory:.0f} MB | {found.kept_beside_slow:.2f} |"
                )
    return "\n".join(lines) + "\n"


def _title(name: str) -> str:
    return f"**{TITLES[name]}**" if name == OURS.name else TITLES[name]


def _joined(by_size: dict[str, float], form: str) -> str:
    return " / ".join(f"{value:{form}}" for value in by_size.values())


def write(folder: Path, models: dict[str, dict[str, Figures]], about: dict[str, str], lengths: Lengths) -> None:
    """Write results.json and results.md into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = {model: {name: found._asdict() for name, found in servers.items()} for model, servers in models.items()}
    content = {"machine": about, "lengths": lengths._asdict(), "models": figures}
    (folder / "results.json").write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    markdown = f"{comparison(models, about, lengths)}\n**Servers of the same app**\n\n{same_app(models)}"
    (folder / "results.md").write_text(markdown, "utf-8")


def include(name: str, markdown: str, page: Path = ROOT / "docs" / "performance.md") -> None:
    """Replace the block `name` of `page`, between its begin and end comments, by `markdown`."""
    begin, end = (f"<!-- written by make bench: {name}, {edge} -->" for edge in ("begin", "end"))
    before, found, rest = page.read_text("utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{page} has no block {name!r}: expected the lines {begin} and {end}")
    page.write_text(f"{before}{begin}\n{markdown}{end}{after}", "utf-8")
