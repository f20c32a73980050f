"""deploy/prices.py: README.md contains the computed table, and the sums are right."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROOT

spec = importlib.util.spec_from_file_location("prices", ROOT / "deploy/prices.py")
prices = importlib.util.module_from_spec(spec)
spec.loader.exec_module(prices)
TABLE = json.loads((ROOT / "deploy/prices.json").read_text())


def test_readme_contains_the_computed_table() -> None:
    assert prices.markdown(TABLE) in (ROOT / "deploy/README.md").read_text(), "python3 deploy/prices.py --write"


def test_costs_of_a_second_of_cpu_for_each_prediction() -> None:
    flat = {**TABLE, "measured": {**TABLE["measured"], "cpu_seconds_per_prediction": 1}}
    flat["assumed"] = {
        "used": 1,
        "kilobytes_in": 0,
        "kilobytes_out": 0,
        "hours_a_month": 730,
        "vcpus": TABLE["assumed"]["vcpus"],
    }
    million = {name: cost for name, _, cost in prices.costs(flat)}
    assert million["cloudrun"] == pytest.approx(24 + 1.25 + 0.40)
    assert million["gke"] == pytest.approx(1_000_000 / 3600 * (0.0445 + 0.0049225))


def test_every_price_has_a_date_and_a_source() -> None:
    for price in TABLE["prices"].values():
        assert price["source"].startswith("https://cloud.google.com/")
        assert price["seen"] >= "2026"
        assert price["sure"] in ("google", "second-hand", "unverified")


def test_write_replaces_only_the_table(tmp_path: Path) -> None:
    for name in ("prices.py", "prices.json", "README.md"):
        shutil.copy(ROOT / "deploy" / name, tmp_path)
    readme = tmp_path / "README.md"
    written = readme.read_text()
    readme.write_text(re.sub(r"^\| cloudrun \| 0 .*\n", "| an old price |\n", written, flags=re.M))
    assert readme.read_text() != written
    subprocess.run([sys.executable, tmp_path / "prices.py", "--write"], check=True)
    assert readme.read_text() == written
