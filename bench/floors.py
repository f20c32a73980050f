"""What the README promises, the one table of it: `make bench` fails where a figure falls under it."""

from bench.checks import Check
from bench.servers import OURS

# Shares of the ceiling of the same run with 8 connections, by model and picture.
SHARES = {
    "reference-cnn": {"small": 0.80, "medium": 0.86, "large": 0.86},
    "imagenet": {"small": 0.82, "medium": 0.85, "large": 0.86},
}
# Against every peer, for every picture: nowhere behind. Medians of three rounds differ by 2 to 4 % on a quiet machine.
LEAD = 0.96
# Of the reference CNN alone: other models have other sizes.
ALONE = 1.22  # one connection's median time for a small picture, against the ceiling's time for one
FIRST_ANSWER = 0.35  # seconds from the start of the process
MEMORY = 130.0  # MB of the whole tree with two workers, after all of the load


def checks(model: str, figures: dict[str, dict]) -> list[Check]:
    """Hold the `figures` of `model` (server -> figures, as results.summary makes them) against the table."""
    ours, peers = figures[OURS.name], [name for name in figures if name not in (OURS.name, "ceiling")]
    found = [
        Check(f"{model}: pictures with the ceiling's answer", ours["same_answers"], ">=", len(ours["share"])),
        Check(f"{model}: requests failed", ours["failures"], "<=", 0),
    ]
    for size, floor in SHARES.get(model, {}).items():
        found.append(Check(f"{model}, {size}: share of the ceiling", ours["share"][size], ">=", floor))
        for peer in peers:
            lead = ours["share"][size] / figures[peer]["share"][size]
            found.append(Check(f"{model}, {size}: against {peer}", lead, ">=", LEAD))
    if model == "reference-cnn":
        ceiling = figures["ceiling"]["alone_ms"]
        found += [
            Check(f"{model}: one connection, against the ceiling", ours["alone_ms"] / ceiling, "<=", ALONE),
            Check(f"{model}: start to first answer", ours["first_answer"], "<=", FIRST_ANSWER, " s"),
            Check(f"{model}: memory of the tree", ours["memory"], "<=", MEMORY, " MB"),
        ]
    return found
