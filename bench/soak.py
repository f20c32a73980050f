"""`make soak`: slow clients, stalled and aborted uploads, overload, restarts, and leaks.

`make soak ARGS="--quick"` takes about three minutes; `make soak ARGS="overload leaks"` runs only these trials.
Exits with status 1 if a target was missed.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from bench import ROOT, checks, images, leaks, load, overload, restarts, slow_clients, uploads
from bench.checks import Check
from bench.servers import OURS, Running, ServerError, running


class Photos(NamedTuple):
    """The images that trials send. `body`: a file with the body of a small upload. `photo`: a phone's photo, JPEG."""

    body: Path
    photo: bytes


class Trial(NamedTuple):
    """One measurement. Each runs on a new server with `settings`, so that trials do not influence each other."""

    run: Callable[[Running, Photos, bool], Iterator[Check]]  # the last argument: whether --quick was given
    settings: Mapping[str, int] = {}


def _leaks(server: Running, _: Photos, quick: bool) -> Iterator[Check]:
    with TemporaryDirectory() as folder:
        yield from leaks.measure(server, Path(folder), 5_000 if quick else 100_000)


def _slow_clients(server: Running, photos: Photos, quick: bool) -> Iterator[Check]:
    seconds, rounds = (3, 1) if quick else (5, 3)
    yield from slow_clients.measure(server, photos.body, seconds, rounds)


TRIALS: dict[str, list[Trial]] = {
    "slow-clients": [Trial(_slow_clients)],
    "uploads": [
        Trial(lambda s, photos, quick: uploads.measure(s, photos.photo, 20 if quick else 180), uploads.SETTINGS),
        Trial(lambda s, photos, _: uploads.phones(s, photos.photo, 20, 3.2), uploads.SETTINGS),
        Trial(lambda s, photos, _: uploads.phones(s, photos.photo, 8, 0.5), uploads.SETTINGS),  # 64 s
    ],
    "overload": [Trial(lambda s, photos, quick: overload.measure(s, photos.body, 8 if quick else 60))],
    "restarts": [
        Trial(lambda s, photos, _: restarts.sigterm(s, photos.body)),
        Trial(lambda s, photos, quick: restarts.kill_9(s, photos.body, 4 if quick else 10)),
        Trial(lambda s, photos, quick: restarts.rolling(s, photos.body, 6 if quick else 16)),
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
    with images.temporary_files() as files:
        photos = Photos(files["small"].with_suffix(".body"), files["large"].read_bytes())
        for name in arguments.trials or TRIALS:
            print(f"{name} ...", flush=True)
            for trial in TRIALS[name]:
                with running(OURS, photos.body.read_bytes(), MODEL=arguments.model, **trial.settings) as server:
                    missed += checks.report(trial.run(server, photos, arguments.quick))
    if missed:
        sys.exit(f"{len(missed)} targets missed")


if __name__ == "__main__":
    try:
        main()
    except (ServerError, load.LoadError) as error:
        sys.exit(f"soak: {error}")
