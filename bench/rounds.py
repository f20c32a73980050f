"""The measurements. Each round starts and measures the no-HTTP bound, our server and every peer, one after the other.

The rounds are interleaved, so that a change in the speed or load of the machine affects all servers.
"""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bench import ROOT, load, processes
from bench.models import Model
from bench.servers import OURS, WORKERS, Running, Server, post, running
from bench.slow_clients import slow_uploads

BOUND = "no-http"  # the name of the no-HTTP bound among the names of the servers
CONNECTIONS = 8
PAUSE = 0.5  # seconds after a load
SLOW_START = 1.5  # seconds until the server has accepted the slow connections


class Lengths(NamedTuple):
    """The number of rounds, and the seconds of each measurement in a round; wrk counts in whole seconds."""

    rounds: int
    warm_up: int
    loaded: int
    single_client: int


FULL = Lengths(rounds=3, warm_up=1, loaded=4, single_client=2)
QUICK = Lengths(rounds=1, warm_up=1, loaded=1, single_client=1)


class Sample(NamedTuple):
    """What was measured of one server in one round. The fields that the no-HTTP bound does not have are None."""

    per_second: dict[str, float]  # by image size
    single_client_ms: float  # median for a small image
    labels: dict[str, str]  # the best label of the answer, by image size
    p99_ms: dict[str, float] | None = None  # by image size
    first_answer: float | None = None  # seconds
    memory: float | None = None  # MB
    beside_slow: float | None = None  # small images per second beside slow uploads; only for servers of our app
    failures: int = 0  # not counting those beside slow uploads


def measure_all(
    models: list[Model], servers: tuple[Server, ...], images: dict[str, Path], lengths: Lengths
) -> Iterator[tuple[str, int, str, Sample]]:
    """Yield (model name, round, server name, sample) as soon as each is measured."""
    for number in range(1, lengths.rounds + 1):
        for model in models:
            yield model.name, number, BOUND, measure_bound(model, images, lengths)
            for server in servers:
                if "keras" not in server.name or model.keras:
                    yield model.name, number, server.name, measure_server(server, model, images, lengths)


def measure_bound(model: Model, images: dict[str, Path], lengths: Lengths) -> Sample:
    """Measure the no-HTTP bound in the Python environment of our server."""

    def run(image: Path, seconds: int, count: str) -> dict[str, Any]:
        arguments = [str(model.bundle), str(image), "--seconds", str(seconds), "--processes", count]
        command = [str(OURS.environment / "bin" / "python"), "-m", "bench.no_http", *arguments]
        found: dict[str, Any] = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)
        return found

    loaded = {size: run(image, lengths.loaded, WORKERS) for size, image in images.items()}
    return Sample(
        {size: found["per_second"] for size, found in loaded.items()},
        run(images["small"], lengths.single_client, "1")["milliseconds"],
        {size: found["answer"]["predictions"][0]["top"][0]["label"] for size, found in loaded.items()},
    )


def measure_server(server: Server, model: Model, images: dict[str, Path], lengths: Lengths) -> Sample:
    """Start `server` with `model`, compare its answers, load it, and stop it. Raises ServerError and LoadError."""
    bodies = {size: image.with_suffix(".body") for size, image in images.items()}
    small = bodies["small"].read_bytes()
    with running(server, small, MODEL=model.bundle, KERAS_MODEL=model.keras or "") as process:
        labels = {size: _label(*post(process.port, body.read_bytes())) for size, body in bodies.items()}
        load.steady(process.url, bodies["small"], CONNECTIONS, lengths.warm_up)
        totals = {}
        for size, body in bodies.items():
            _settle(process.port, small)
            totals[size] = load.steady(process.url, body, CONNECTIONS, lengths.loaded)
        _settle(process.port, small)
        single_client_ms = load.steady(process.url, bodies["small"], 1, lengths.single_client).p50
        memory = processes.memory(process.pid)
        return Sample(
            per_second={size: found.per_second for size, found in totals.items()},
            single_client_ms=single_client_ms,
            labels=labels,
            p99_ms={size: found.p99 for size, found in totals.items()},
            first_answer=process.first_answer,
            memory=memory,
            beside_slow=_beside_slow(process, bodies["small"], lengths) if server.same_app else None,
            failures=sum(found.not_ok + found.lost for found in totals.values()),
        )


def _beside_slow(process: Running, body: Path, lengths: Lengths) -> float:
    """Answers per second on 8 connections while 200 other connections upload one byte per second each."""
    with slow_uploads(process.port):
        time.sleep(SLOW_START)
        return load.steady(process.url, body, CONNECTIONS, lengths.loaded).per_second


def _settle(port: int, body: bytes) -> None:
    """Wait until the server has finished the work of the connections that the last load has closed."""
    time.sleep(PAUSE)
    for _ in range(2 * CONNECTIONS):
        post(port, body)


def _label(status: int, body: bytes) -> str:
    return json.loads(body)["predictions"][0]["label"] if status == 200 else f"status {status}"
