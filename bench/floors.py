"""The limits that README.md and docs/performance.md state: `make bench` fails if a measured figure is worse."""

import math

from bench.checks import Check
from bench.results import Figures
from bench.rounds import BOUND
from bench.servers import OURS

# Minimum share of the no-HTTP bound of the same run, with 8 connections, by model and image size.
SHARES = {
    "reference-cnn": {"small": 0.80, "medium": 0.86, "large": 0.86},
    "imagenet": {"small": 0.82, "medium": 0.85, "large": 0.86},
}
# Minimum throughput relative to each peer, for every image size: equal to the best, within the noise. Medians of three
# rounds differ by 2 to 4 % on a quiet machine.
AGAINST_PEER = 0.96
# The following apply to the reference CNN only: other models have other sizes.
SINGLE_CLIENT = 1.22  # median time of one client for a small image, relative to the no-HTTP bound
FIRST_ANSWER = 0.35  # seconds from the start of the process
MEMORY = 130.0  # MB of the whole process tree with two workers, after all the load


def checks(model: str, figures: dict[str, Figures]) -> list[Check]:
    """Compare the `figures` of `model`, {server name: figures} from results.summary, with the limits."""
    ours, peers = figures[OURS.name], [name for name in figures if name not in (OURS.name, BOUND)]
    found = [
        Check(f"{model}: images with the answer of the no-HTTP bound", ours.same_answers, ">=", len(ours.share)),
        Check(f"{model}: requests failed", ours.failures, "<=", 0),
    ]
    for size, floor in SHARES.get(model, {}).items():
        found.append(Check(f"{model}, {size}: share of the no-HTTP bound", ours.share[size], ">=", floor))
        for peer in peers:
            theirs = figures[peer].share[size]  # 0 if a very slow peer finished no request
            relative = ours.share[size] / theirs if theirs else math.inf
            found.append(Check(f"{model}, {size}: relative to {peer}", relative, ">=", AGAINST_PEER))
    if model == "reference-cnn":
        relative = ours.single_client_ms / figures[BOUND].single_client_ms
        found += [
            Check(f"{model}: single client, relative to the no-HTTP bound", relative, "<=", SINGLE_CLIENT),
            Check(f"{model}: start to first answer", ours.first_answer or 0.0, "<=", FIRST_ANSWER, " s"),
            Check(f"{model}: memory of the process tree", ours.memory or 0.0, "<=", MEMORY, " MB"),
        ]
    return found
