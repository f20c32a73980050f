"""`make bench`: measure the no-HTTP bound, our server and its peers; write tables and a plot to bench/results/.

Exits with status 1 if a figure is worse than bench/floors.py allows. `--quick` only shows that everything works: its
rounds are too short for reliable figures, so it does not check them.
"""

import argparse
import sys
import time
from pathlib import Path

from app import bundle
from bench import ROOT, checks, floors, images, load, models, plot, results, rounds
from bench.servers import OURS, PEERS, ServerError, environments

RESULTS = ROOT / "bench" / "results"


def main() -> None:
    arguments = parse()
    load.require("wrk")
    chosen = arguments.servers or [server.name for server in PEERS]
    servers = (OURS, *(server for server in PEERS if server.name in chosen))
    measured = models.prepare()
    if arguments.model:
        measured = [models.Model(bundle.read(arguments.model).name, arguments.model.resolve())]
    environments(servers)
    lengths = rounds.QUICK if arguments.quick else rounds.FULL
    about, started = results.machine(), time.monotonic()
    samples: dict[str, dict[str, list[rounds.Sample]]] = {}
    total = lengths.rounds * len(measured) * (1 + len(servers))
    with images.temporary_files() as files:
        for count, (model, number, name, sample) in enumerate(rounds.measure_all(measured, servers, files, lengths), 1):
            samples.setdefault(model, {}).setdefault(name, []).append(sample)
            rates = ", ".join(f"{value:,.0f}" for value in sample.per_second.values())
            print(
                f"[{count:>2}/{total} {time.monotonic() - started:>4.0f} s] {model}, round {number}, "
                f"{results.TITLES[name]}: {rates} images/s; single client {sample.single_client_ms:.1f} ms",
                flush=True,
            )
    figures = {model: results.summary(found) for model, found in samples.items()}
    partial = arguments.quick or arguments.model or arguments.servers
    folder = RESULTS / "partial" if partial else RESULTS
    results.write(folder, figures, about, lengths)
    plot.draw(figures, folder / "shares.png")
    print(f"\n{(folder / 'results.md').read_text('utf-8')}\nWritten to {folder.relative_to(ROOT)}\n")
    found = [check for model, servers in figures.items() for check in floors.checks(model, servers)]
    if arguments.quick:
        checks.report(found)
        print("These rounds are too short for reliable figures: missed targets do not count.")
        return
    if not partial:
        results.include("comparison", results.comparison(figures, about, lengths))
        results.include("same app", results.same_app(figures))
    checks.conclude(found)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description="Compare our server with its peers.")
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--model", type=Path, help="measure this bundle instead (without the Keras peer)")
    names = [server.name for server in PEERS]
    parser.add_argument("--servers", nargs="*", choices=names, help="only these peers")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except (ServerError, load.LoadError, bundle.BundleError) as error:
        sys.exit(f"bench: {error}")
