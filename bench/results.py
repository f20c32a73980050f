"""From samples to figures, and from figures to a table: medians, and shares of the ceiling of the same round."""

import json
import os
import platform
import statistics
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench import ROOT
from bench.rounds import Lengths, Sample
from bench.servers import OURS, PEERS

TITLES = {"ceiling": "ceiling: no HTTP at all"} | {server.name: server.title for server in (OURS, *PEERS)}
MARKS = ("<!-- written by make bench: begin -->", "<!-- written by make bench: end -->")


def summary(rounds: dict[str, list[Sample]]) -> dict[str, dict]:
    """One model's samples, {server: one of each round}, as {server: figures}."""
    limits = rounds["ceiling"]
    figures = {}
    for name, samples in rounds.items():
        pictures = samples[0].per_second
        shares = {
            size: statistics.median(
                sample.per_second[size] / limit.per_second[size] for sample, limit in zip(samples, limits, strict=True)
            )
            for size in pictures
        }
        figures[name] = {
            "per_second": {size: statistics.median(s.per_second[size] for s in samples) for size in pictures},
            "share": shares,
            "alone_ms": statistics.median(sample.alone_ms for sample in samples),
            "first_answer": _median([sample.first_answer for sample in samples]),
            "memory": _median([sample.memory for sample in samples]),
            "same_answers": sum(samples[0].labels[size] == limits[0].labels[size] for size in pictures),
            "failures": sum(sample.failures for sample in samples),
        }
    return figures


def _median(values: list[float | None]) -> float | None:
    return None if None in values else statistics.median(values)


def machine() -> dict[str, str]:
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


def table(figures: dict[str, dict[str, dict]], about: dict[str, str], lengths: Lengths) -> str:
    """All of it as Markdown: {model: {server: figures}}."""
    lines = [
        f"{about['cpu']}, {about['cores']} cores, {about['date']}; Python {about['python']}, LiteRT "
        f"{about['ai-edge-litert']}, Pillow {about['pillow']}, gunicorn {about['gunicorn']}; {lengths.rounds} "
        f"round{'s' * (lengths.rounds > 1)} of {lengths.loaded} s, 8 connections, 2 worker processes. "
        "Shares are of the ceiling of the same round.",
    ]
    for model, servers in figures.items():
        lines += [
            "",
            f"**{model}**",
            "",
            "| server | pictures/s: small, medium, large | share of the ceiling | alone, p50 | first answer | memory |",
            "|---|---|---|---|---|---|",
        ]
        lines += [_row(name, found) for name, found in servers.items()]
        notes = [
            f"{TITLES[name]}: {text}"
            for name, found in servers.items()
            for text in (
                f"another answer for {3 - found['same_answers']} of 3 pictures" if found["same_answers"] < 3 else "",
                f"{found['failures']} requests failed" if found["failures"] else "",
            )
            if text
        ]
        lines += ["", *[f"- {note}" for note in notes]] if notes else []
    return "\n".join(lines) + "\n"


def _row(name: str, found: dict) -> str:
    rates = " / ".join(f"{value:,.0f}" for value in found["per_second"].values())
    shares = " / ".join(f"{value:.2f}" for value in found["share"].values()) if name != "ceiling" else "1"
    first = f"{found['first_answer']:.2f} s" if found["first_answer"] is not None else ""
    memory = f"{found['memory']:.0f} MB" if found["memory"] is not None else ""
    title = f"**{TITLES[name]}**" if name == OURS.name else TITLES[name]
    return f"| {title} | {rates} | {shares} | {found['alone_ms']:.1f} ms | {first} | {memory} |"


def write(folder: Path, figures: dict[str, dict[str, dict]], about: dict[str, str], lengths: Lengths) -> None:
    """Write results.json and results.md into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"machine": about, "lengths": lengths._asdict(), "models": figures}
    (folder / "results.json").write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    (folder / "results.md").write_text(table(figures, about, lengths), "utf-8")


def include(markdown: str, page: Path = ROOT / "docs" / "performance.md") -> None:
    """Put `markdown` between the marks of `page`."""
    text = page.read_text("utf-8")
    before, _, rest = text.partition(MARKS[0])
    _, mark, after = rest.partition(MARKS[1])
    if mark:
        page.write_text(f"{before}{MARKS[0]}\n{markdown}{mark}{after}", "utf-8")
