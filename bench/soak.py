"""`make soak`: slow clients, uploads that stall or break off, overload, restarts, and leaks.

`make soak ARGS="--quick"` takes about three minutes; `make soak ARGS="overload leaks"` runs only these trials.
Ends with status 1 if a target was missed.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from bench import ROOT, checks, leaks, load, overload, pictures, restarts, slow_clients, uploads
from bench.checks import Check
from bench.servers import OURS, Running, ServerError, running


class Images(NamedTuple):
    """The images that trials send: the body of a small upload, as a file, and a phone's photo, a JPEG."""

    body: Path
    photo: bytes


class Trial(NamedTuple):
    """One measurement. Each has a server of its own, with `settings`, so that trials do not influence each other."""

    run: Callable[[Running, Images, bool], Iterator[Check]]  # the last argument: whether to be quick
    settings: Mapping[str, int] = {}


def _leaks(server: Running, _: Images, quick: bool) -> Iterator[Check]:
    with TemporaryDirectory() as folder:
        yield from leaks.measure(server, Path(folder), 5_000 if quick else 100_000)


def _slow_clients(server: Running, images: Images, quick: bool) -> Iterator[Check]:
    seconds, rounds = (3, 1) if quick else (5, 3)
    yield from slow_clients.measure(server, images.body, seconds, rounds)


TRIALS: dict[str, list[Trial]] = {
    "slow-clients": [Trial(_slow_clients)],
    "uploads": [
        Trial(lambda s, images, quick: uploads.measure(s, images.photo, 20 if quick else 180), uploads.SETTINGS),
        Trial(lambda s, images, _: uploads.phones(s, images.photo, 20, 3.2), uploads.SETTINGS),
        Trial(lambda s, images, _: uploads.phones(s, images.photo, 8, 0.5), uploads.SETTINGS),  # 64 s
    ],
    "overload": [Trial(lambda s, images, quick: overload.measure(s, images.body, 8 if quick else 60))],
    "restarts": [
        Trial(lambda s, images, _: restarts.sigterm(s, images.body)),
        Trial(lambda s, images, quick: restarts.kill_9(s, images.body, 4 if quick else 10)),
        Trial(lambda s, images, quick: restarts.rolling(s, images.body, 6 if quick else 16)),
    ],
    "leaks": [Trial(_leaks)],
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="make soak", description="Slow clients, stalled and aborted uploads, overload, restarts, leaks."
    )
    parser.add_argument("trials", nargs="*", help=f"any of {', '.join(TRIALS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="a few seconds for each measurement")
    parser.add_argument("--model", type=Path, default=ROOT / "model" / "imagenet", help="the bundle to serve")
    arguments = parser.parse_args()
    if unknown := set(arguments.trials) - TRIALS.keys():
        parser.error(f"unknown trial {', '.join(sorted(unknown))}; known trials: {', '.join(TRIALS)}")
    load.require("wrk", "slowhttptest")
    missed = []
    with pictures.written() as files:
        images = Images(files["small"].with_suffix(".body"), files["large"].read_bytes())
        for name in arguments.trials or TRIALS:
            print(f"{name} ...", flush=True)
            for trial in TRIALS[name]:
                with running(OURS, images.body.read_bytes(), MODEL=arguments.model, **trial.settings) as server:
                    missed += checks.report(trial.run(server, images, arguments.quick))
    if missed:
        sys.exit(f"{len(missed)} targets missed")


if __name__ == "__main__":
    try:
        main()
    except (ServerError, load.LoadError) as error:
        sys.exit(f"soak: {error}")
