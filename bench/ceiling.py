"""The ceiling: what the machine gives when there is no HTTP at all, one process a core.

`python -m bench.ceiling BUNDLE PICTURE --processes 2 --seconds 4` prints JSON: pictures a second of all processes, the
median time for one picture, and the answer. Each process loops bytes -> app.images.decode -> LiteRT -> top five ->
JSON. Decoding is the app's own: scaling straight to the model's size would be faster, but changes answers.
"""

import argparse
import json
import multiprocessing
import statistics
import time
from itertools import chain
from pathlib import Path

import numpy as np

from app import bundle, images
from app.classifier import Network

WARM = 0.3  # seconds, until caches and the CPU's clock have settled


def loop(folder: str, picture: bytes, seconds: float, ready: object, results: object) -> None:
    """Classify `picture` for `seconds` once every process is `ready`; put the answer, and the time that each took."""
    served = bundle.read(folder)
    network = Network(served)
    end = time.perf_counter() + WARM
    while time.perf_counter() < end:
        said = answer(served, network, picture)
    ready.wait()
    times, now = [], time.perf_counter()
    end = now + seconds
    while now < end:
        answer(served, network, picture)
        before, now = now, time.perf_counter()
        times.append(now - before)
    results.put((said, times))


def answer(served: bundle.Bundle, network: Network, picture: bytes) -> str:
    pixels = images.decode(picture, served.width, served.height, served.resize).pixels
    probabilities = network.classify(pixels)
    top = [
        {"label": served.labels[index], "index": index, "probability": round(float(probabilities[index]), 6)}
        for index in np.argsort(-probabilities, kind="stable")[:5].tolist()
    ]
    return json.dumps({"model": {"name": served.name, "version": served.version}, "predictions": [{"top": top}]})


def measure(folder: str, picture: bytes, seconds: float, processes: int) -> dict:
    context = multiprocessing.get_context("spawn")  # as separate as the processes of a server
    ready, results = context.Barrier(processes), context.Queue()
    workers = [
        context.Process(target=loop, args=(folder, picture, seconds, ready, results), daemon=True)
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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Pictures a second without any HTTP.")
    parser.add_argument("bundle")
    parser.add_argument("picture", type=Path)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.bundle, arguments.picture.read_bytes(), arguments.seconds, arguments.processes)))
