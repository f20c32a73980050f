"""`make bench`: the ceiling, ours and its peers, as a table and a plot in bench/results/.

Ends with status 1 where a figure falls under what bench/floors.py promises. `--quick` is a look at whether all of it
works: its rounds are too short to be held to anything.
"""

import argparse
import sys
import time
from pathlib import Path

from app import bundle
from bench import ROOT, checks, floors, load, models, pictures, plot, results, rounds
from bench.servers import OURS, PEERS, ServerError, environments

RESULTS = ROOT / "bench" / "results"


def main() -> None:
    arguments = parse()
    load.require("wrk")
    chosen = arguments.servers or [server.name for server in PEERS]
    servers = (OURS, *(server for server in PEERS if server.name in chosen))
    measured = models.prepared()
    if arguments.model:
        measured = [models.Model(bundle.read(arguments.model).name, arguments.model.resolve())]
    environments(servers)
    lengths = rounds.QUICK if arguments.quick else rounds.FULL
    about, samples, started = results.machine(), {}, time.monotonic()
    total = lengths.rounds * len(measured) * (1 + len(servers))
    with pictures.written() as files:
        for count, (model, number, name, sample) in enumerate(rounds.measured(measured, servers, files, lengths), 1):
            samples.setdefault(model, {}).setdefault(name, []).append(sample)
            rates = ", ".join(f"{value:,.0f}" for value in sample.per_second.values())
            print(
                f"[{count:>2}/{total} {time.monotonic() - started:>4.0f} s] {model}, round {number}, "
                f"{results.TITLES[name]}: {rates} pictures/s; alone {sample.alone_ms:.1f} ms",
                flush=True,
            )
    figures = {model: results.summary(found) for model, found in samples.items()}
    partial = arguments.quick or arguments.model or arguments.servers
    folder = RESULTS / "partial" if partial else RESULTS
    results.write(folder, figures, about, lengths)
    plot.draw(figures, folder / "shares.png")
    print(f"\n{(folder / 'results.md').read_text('utf-8')}\nWritten to {folder.relative_to(ROOT)}\n")
    held = [check for model, found in figures.items() for check in floors.checks(model, found)]
    if arguments.quick:
        checks.report(held)
        print("Rounds as short as these are not held to it.")
        return
    if not partial:
        results.include((folder / "results.md").read_text("utf-8"))
    checks.conclude(held)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description="Compare the server with its peers.")
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--model", type=Path, help="measure this bundle instead (no Keras peer)")
    names = [server.name for server in PEERS]
    parser.add_argument("--servers", nargs="*", choices=names, help="only these peers")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except (ServerError, load.LoadError, bundle.BundleError) as error:
        sys.exit(f"bench: {error}")
