#!/usr/bin/env python3
"""Compute what a month without traffic and a million predictions cost on each target, from prices.json.

    python3 deploy/prices.py            print the table of deploy/README.md
    python3 deploy/prices.py --write    write it into deploy/README.md

The second number assumes busy instances: predictions take the share `used` of their CPU. Free allowances are not
subtracted, so both numbers are upper bounds.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
MILLION = 1_000_000
GIB = 2**30
GENERATED = re.compile(r"(<!-- prices.py -->\n).*?(<!-- end -->)", re.DOTALL)


def costs(table: dict[str, Any]) -> list[tuple[str, float, float]]:
    """Return (target, $ for a month without traffic, $ for a million predictions), with staging's settings."""
    usd = {name: price["usd"] for name, price in table["prices"].items()}
    assumed, month = table["assumed"], table["assumed"]["hours_a_month"]
    busy = MILLION * table["measured"]["cpu_seconds_per_prediction"] / assumed["used"]  # seconds of one vCPU
    sent = MILLION * 1000 * (assumed["kilobytes_in"] + assumed["kilobytes_out"]) / GIB

    run = busy * (usd["run_vcpu_second"] + 0.5 * usd["run_gib_second"]) + usd["run_million_requests"]  # 1 vCPU, 512 MiB
    pod = usd["gke_vcpu_hour"] + usd["gke_gib_hour"]  # 1 vCPU, and 1 GiB, the least that Autopilot bills
    machine = usd["gce_e2_small_hour"] + 10 * usd["gce_disk_gb_month"] / month
    f1, small = (busy / 3600 / assumed["vcpus"][name] for name in ("gae F1", "gce e2-small"))  # hours
    return [
        ("cloudrun", 0, run),
        ("functions", 0, run),
        ("gae", 0, f1 * usd["gae_f1_hour"]),
        (
            "gke",
            month * (usd["gke_cluster_hour"] + pod + usd["balancer_hour"]),
            busy / 3600 * pod + sent * usd["balancer_gib"],
        ),
        ("gce", month * (machine + usd["balancer_hour"]), small * machine + sent * usd["balancer_gib"]),
    ]


def markdown(table: dict[str, Any]) -> str:
    """Return the table of costs, followed by the list prices and their sources."""
    measured = table["measured"]
    lines = ["| target | a month without traffic | a million predictions |", "|---|--:|--:|"]
    lines += [f"| {name} | {idle:.0f} $ | {million:.2f} $ |" for name, idle, million in costs(table)]
    milliseconds = 1000 * measured["cpu_seconds_per_prediction"]
    lines += ["", f"Measured on {measured['seen']}: a prediction takes {milliseconds:.1f} ms of CPU time."]
    lines += ["", "| list price | $ | date | confidence | source |", "|---|--:|---|---|---|"]
    for name, price in table["prices"].items():
        usd = f"{price['usd']:.7f}".rstrip("0")
        lines.append(f"| {name.replace('_', ' ')} | {usd} | {price['seen']} | {price['sure']} | {price['source']} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the table into deploy/README.md")
    table = markdown(json.loads((FOLDER / "prices.json").read_text("utf-8")))
    if not parser.parse_args().write:
        print(table, end="")
        return
    readme = FOLDER / "README.md"
    readme.write_text(GENERATED.sub(lambda match: match[1] + table + match[2], readme.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
