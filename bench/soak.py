"""`make soak`: is the server as hard to break as it should be? Slow clients, overload, restarts, leaks.

`make soak ARGS="--quick"` takes a minute and a half; `make soak ARGS="overload leaks"` does only these.
Ends with status 1 where something was missed.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import ROOT, checks, images, leaks, load, overload, restarts, slow_clients
from bench.checks import Check
from bench.servers import OURS, Running, ServerError, running

Trial = Callable[[Running, Path, bool], Iterator[Check]]


def _leaks(server: Running, _: Path, quick: bool) -> Iterator[Check]:
    with TemporaryDirectory() as folder:
        yield from leaks.measure(server, Path(folder), 5_000 if quick else 100_000)


# Each has a server of its own: what one does to it is not the next one's concern.
TRIALS: dict[str, list[Trial]] = {
    "slow-clients": [lambda s, body, quick: slow_clients.measure(s, body, *((3, 1) if quick else (5, 3)))],
    "overload": [lambda s, body, quick: overload.measure(s, body, 8 if quick else 60)],
    "restarts": [
        lambda s, body, quick: restarts.sigterm(s, body),  # noqa: ARG005 - nothing to shorten
        lambda s, body, quick: restarts.kill_9(s, body, 4 if quick else 10),
        lambda s, body, quick: restarts.rolling(s, body, 6 if quick else 16),
    ],
    "leaks": [_leaks],
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="make soak", description="Slow clients, overload, restarts, leaks.")
    parser.add_argument("trials", nargs="*", help=f"which of {', '.join(TRIALS)}; all where none is named")
    parser.add_argument("--quick", action="store_true", help="a few seconds each")
    parser.add_argument("--model", type=Path, default=ROOT / "model" / "imagenet", help="the bundle to serve")
    arguments = parser.parse_args()
    if unknown := set(arguments.trials) - TRIALS.keys():
        parser.error(f"{', '.join(sorted(unknown))}: choose from {', '.join(TRIALS)}")
    load.require("wrk", "slowhttptest")
    missed = []
    with images.temporary_files() as files:
        body = files["small"].with_suffix(".body")
        for name in arguments.trials or TRIALS:
            print(f"{name} ...", flush=True)
            for trial in TRIALS[name]:
                with running(OURS, body.read_bytes(), MODEL=arguments.model) as server:
                    missed += checks.report(trial(server, body, arguments.quick))
    if missed:
        sys.exit(f"{len(missed)} missed")


if __name__ == "__main__":
    try:
        main()
    except (ServerError, load.LoadError) as error:
        sys.exit(f"soak: {error}")
