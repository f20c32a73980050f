"""deploy/*.md: gcloud accepts every quoted command, every link has a target, and the table of settings is complete."""

import dataclasses
import json
import re
import subprocess
from pathlib import Path

import pytest

from .conftest import PROJECT, ROOT, Checkout
from .simulator import Conditions

PAGES = sorted((ROOT / "deploy").rglob("README.md"))


def test_gcloud_accepts_every_quoted_command(checkout: Checkout, tmp_path: Path) -> None:
    lines = [line for page in PAGES for line in re.findall(r"(?:^|`)(gcloud [^`\n]+)", page.read_text(), re.M)]
    lines = [line for line in lines if "--" in line and not line.endswith(("--to-revisions", "set-traffic"))]
    lines = [line.replace("PROJECT", PROJECT) for line in lines]
    assert len(lines) > 8
    (tmp_path / "lines.json").write_text(
        json.dumps([{"command_string": line, "id": i} for i, line in enumerate(lines)])
    )
    outcome = checkout.run("gcloud", "meta", "lint-gcloud-commands", f"--commands-file={tmp_path / 'lines.json'}")
    checked = json.loads(outcome.out)
    assert len(checked) == len(lines)
    assert [(found["command_string"], found["error_message"]) for found in checked if not found["success"]] == []


def test_table_of_settings_is_complete() -> None:
    script = """
        source deploy/lib/settings.sh
        for name in $SETTINGS; do
          default=DEFAULT_$name allowed=ALLOWED_$name meaning=MEANING_$name
          printf '%s\\t%s\\t%s\\t%s\\n' "$name" "${!default}" "${!allowed}" "${!meaning}"
        done
    """
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, check=True, capture_output=True, text=True)
    settings = [line.split("\t") for line in done.stdout.splitlines()]
    rows = [
        f"| `{name}` | {f'`{default}`' if default else 'required'} | {allowed} | {meaning} |"
        for name, default, allowed, meaning in settings
    ]
    table = (ROOT / "deploy/README.md").read_text().partition("| setting | default | allowed values | meaning |\n")[2]
    assert table.partition("\n\n")[0].splitlines()[1:] == rows


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_example_contains_known_settings(environment: str) -> None:
    known = re.findall(r"^setting (\w+)", (ROOT / "deploy/lib/settings.sh").read_text(), re.M)
    example = re.findall(r"^(\w+)=", (ROOT / f"deploy/{environment}.env.example").read_text(), re.M)
    assert {"PROJECT", "REGION"} <= set(example) <= set(known)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_every_link_leads_to_a_file(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / link).exists(), link


def test_proof_names_tests_that_exist() -> None:
    text = (ROOT / "docs/deploy-proof.md").read_text()
    files = {path.name: path.read_text() for path in Path(__file__).parent.glob("test_*.py")}
    functions = set(re.findall(r"^def (test_\w+)", "\n".join(files.values()), re.M))
    named = set(re.findall(r"`(test_[\w.]+)`", text))
    assert len(named) > 20
    assert named - set(files) - functions == set()


def test_proof_covers_every_condition_of_the_simulator() -> None:
    """A condition that no test of the scripts switches on proves nothing about them."""
    conditions = {field.name for field in dataclasses.fields(Conditions)}
    tests = [path.read_text() for path in Path(__file__).parent.glob("test_*.py") if path.name != "test_simulator.py"]
    unused = {name for name in conditions if not any(re.search(rf"\b{name}\b", text) for text in tests)}
    assert unused == set()
