"""The no-HTTP bound: the throughput of this machine without any HTTP, with one process per core.

`python -m bench.no_http BUNDLE IMAGE --processes 2 --seconds 4` prints JSON: images per second of all processes, the
median time for one image, and the answer. Each process loops: bytes -> app.images.decode -> LiteRT -> top five -> JSON.
It decodes as the app does. Scaling directly to the model's input size would be faster, but changes answers.
"""

import argparse
import json
import multiprocessing
import statistics
import time
from itertools import chain
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np

from app import bundle, images
from app.classifier import Network

WARM_UP = 0.3  # seconds, until the caches and the CPU's clock have settled


def measure(folder: str, image: bytes, seconds: float, processes: int) -> dict[str, Any]:
    """Run `processes` loops in parallel; return {"per_second", "milliseconds" (median), "answer"}."""
    context = multiprocessing.get_context("spawn")  # separate processes, as a server's workers are
    ready, results = context.Barrier(processes), context.Queue()
    workers = [
        context.Process(target=loop, args=(folder, image, seconds, ready, results), daemon=True)
        for _ in range(processes)
    ]
    for worker in workers:
        worker.start()
    answers, times = zip(*[results.get(timeout=seconds + 60) for _ in workers], strict=True)
    for worker in workers:
        worker.join()
    per_second = sum(len(each) / sum(each) for each in times)
    milliseconds = 1000 * statistics.median(chain.from_iterable(times))
    return {"per_second": per_second, "milliseconds": milliseconds, "answer": json.loads(answers[0])}


def loop(folder: str, image: bytes, seconds: float, ready: Barrier, results: "Queue[tuple[str, list[float]]]") -> None:
    """Classify `image` for `seconds` once all processes are `ready`; put the answer and the seconds of each pass."""
    served = bundle.read(folder)
    network = Network(served)
    text = answer(served, network, image)
    end = time.perf_counter() + WARM_UP
    while time.perf_counter() < end:
        answer(served, network, image)
    ready.wait()
    times, now = [], time.perf_counter()
    end = now + seconds
    while now < end:
        answer(served, network, image)
        before, now = now, time.perf_counter()
        times.append(now - before)
    results.put((text, times))


def answer(served: bundle.Bundle, network: Network, image: bytes) -> str:
    """The JSON that the app answers for the encoded `image`."""
    pixels = images.decode(image, served.width, served.height, served.resize).pixels
    probabilities = network.classify(pixels)
    top = [
        {"label": served.labels[index], "index": index, "probability": round(float(probabilities[index]), 6)}
        for index in np.argsort(-probabilities, kind="stable")[:5].tolist()
    ]
    return json.dumps({"model": {"name": served.name, "version": served.version}, "predictions": [{"top": top}]})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure images per second without any HTTP.")
    parser.add_argument("bundle")
    parser.add_argument("image", type=Path)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.bundle, arguments.image.read_bytes(), arguments.seconds, arguments.processes)))
