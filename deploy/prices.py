#!/usr/bin/env python3
"""What a month without traffic costs on each target, and what a million predictions cost: computed from prices.json.

    python3 deploy/prices.py            print the table of deploy/README.md
    python3 deploy/prices.py --write    put it there

The second number is for an instance that is busy: `used` of its CPU goes to predictions. Free allowances are left out,
so that both numbers are the most you pay.
"""

import argparse
import json
import re
from pathlib import Path

HERE = Path(__file__).parent
MILLION = 1_000_000
GIB = 2**30
MARK = re.compile(r"(<!-- prices.py -->\n).*?(<!-- end -->)", re.S)


def rows(table: dict) -> list[tuple[str, float, float]]:
    """-> (target, dollars for a month without traffic, dollars for a million predictions) of staging's settings."""
    usd = {name: price["usd"] for name, price in table["prices"].items()}
    assumed, month = table["assumed"], table["assumed"]["hours_a_month"]
    busy = MILLION * table["measured"]["cpu_seconds_per_prediction"] / assumed["used"]  # seconds of one vCPU
    sent = MILLION * 1000 * (assumed["kilobytes_in"] + assumed["kilobytes_out"]) / GIB

    run = busy * (usd["run_vcpu_second"] + 0.5 * usd["run_gib_second"]) + usd["run_million_requests"]  # 1 vCPU, 512 MiB
    pod = usd["gke_vcpu_hour"] + usd["gke_gib_hour"]  # 1 vCPU, and the 1 GiB that Autopilot bills at the least
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


def markdown(table: dict) -> str:
    """The table, and under it where each price is from."""
    measured = table["measured"]
    lines = ["| target | a month without traffic | a million predictions |", "|---|--:|--:|"]
    lines += [f"| {name} | {idle:.0f} $ | {million:.2f} $ |" for name, idle, million in rows(table)]
    milliseconds = 1000 * measured["cpu_seconds_per_prediction"]
    lines += ["", f"Measured on {measured['seen']}: {milliseconds:.1f} ms of CPU for a prediction."]
    lines += ["", "| list price | $ | seen | how sure | where |", "|---|--:|---|---|---|"]
    for name, price in table["prices"].items():
        usd = f"{price['usd']:.7f}".rstrip("0")
        lines.append(f"| {name.replace('_', ' ')} | {usd} | {price['seen']} | {price['sure']} | {price['source']} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put the table into deploy/README.md")
    table = markdown(json.loads((HERE / "prices.json").read_text("utf-8")))
    if not parser.parse_args().write:
        print(table, end="")
        return
    page = HERE / "README.md"
    page.write_text(MARK.sub(lambda found: found[1] + table + found[2], page.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
