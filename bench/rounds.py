"""The measurements: in each round the ceiling, ours and every peer, one after the other, each started anew.

Interleaved, so that a machine that grows slower or busier meanwhile is so for all of them.
"""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bench import ROOT, load, processes
from bench.models import Model
from bench.servers import OURS, WORKERS, Server, ask, running

CONNECTIONS = 8
CALM = 0.5  # seconds after a load


class Lengths(NamedTuple):
    """How many rounds, and the seconds of each measurement in them; wrk counts in whole ones."""

    rounds: int
    warm: int
    loaded: int
    alone: int


FULL = Lengths(rounds=3, warm=2, loaded=5, alone=3)
QUICK = Lengths(rounds=1, warm=1, loaded=1, alone=1)


class Sample(NamedTuple):
    """What one server did in one round; what a ceiling does not have is None."""

    per_second: dict[str, float]  # by picture
    alone_ms: float  # a small picture, nobody else there
    labels: dict[str, str]  # the answer, by picture
    first_answer: float | None = None
    memory: float | None = None
    failures: int = 0


def ceiling(model: Model, pictures: dict[str, Path], lengths: Lengths) -> Sample:
    """Measured in the environment that ours is served from."""

    def run(picture: Path, seconds: int, count: str) -> dict:
        arguments = [str(model.bundle), str(picture), "--seconds", str(seconds), "--processes", count]
        command = [OURS.environment / "bin" / "python", "-m", "bench.ceiling", *arguments]
        return json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)

    loaded = {name: run(picture, lengths.loaded, WORKERS) for name, picture in pictures.items()}
    return Sample(
        {name: found["per_second"] for name, found in loaded.items()},
        run(pictures["small"], lengths.alone, "1")["milliseconds"],
        {name: found["answer"]["predictions"][0]["top"][0]["label"] for name, found in loaded.items()},
    )


def served(server: Server, model: Model, pictures: dict[str, Path], lengths: Lengths) -> Sample:
    bodies = {name: picture.with_suffix(".body") for name, picture in pictures.items()}
    small = bodies["small"].read_bytes()
    with running(server, small, MODEL=model.bundle, KERAS_MODEL=model.keras or "") as process:
        labels = {name: _label(*ask(process.port, body.read_bytes())) for name, body in bodies.items()}
        load.steady(process.url, bodies["small"], CONNECTIONS, lengths.warm)
        per_second, failures = {}, 0
        for name, body in bodies.items():
            _calm(process.port, small)
            found = load.steady(process.url, body, CONNECTIONS, lengths.loaded)
            per_second[name] = found.per_second
            failures += found.not_ok + found.lost
        _calm(process.port, small)
        alone = load.steady(process.url, bodies["small"], 1, lengths.alone).p50
        return Sample(per_second, alone, labels, process.first_answer, processes.memory(process.pid), failures)


def measured(
    models: list[Model], servers: tuple[Server, ...], pictures: dict[str, Path], lengths: Lengths
) -> Iterator[tuple[str, int, str, Sample]]:
    """Yield (model, round, server, sample) as they come; the ceiling is called "ceiling"."""
    for number in range(1, lengths.rounds + 1):
        for model in models:
            yield model.name, number, "ceiling", ceiling(model, pictures, lengths)
            for server in servers:
                if "keras" not in server.name or model.keras:
                    yield model.name, number, server.name, served(server, model, pictures, lengths)


def _calm(port: int, body: bytes) -> None:
    """Wait until the server has done what the connections of the last load left behind."""
    time.sleep(CALM)
    for _ in range(2 * CONNECTIONS):
        ask(port, body)


def _label(status: int, body: bytes) -> str:
    return json.loads(body)["predictions"][0]["label"] if status == 200 else f"status {status}"
