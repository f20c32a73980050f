"""What deploy/*.md quotes: every gcloud line is known to gcloud, and every file is there."""

import json
import re
from pathlib import Path

import pytest

from .conftest import PROJECT, ROOT, Workplace

PAGES = sorted((ROOT / "deploy").rglob("README.md"))


def test_every_quoted_gcloud_line_is_known_to_gcloud(workplace: Workplace, tmp_path: Path) -> None:
    lines = [line for page in PAGES for line in re.findall(r"(?:^|`)(gcloud [^`\n]+)", page.read_text(), re.M)]
    lines = [line for line in lines if "--" in line and not line.endswith(("--to-revisions", "set-traffic"))]
    lines = [line.replace("PROJECT", PROJECT) for line in lines]
    assert len(lines) > 8
    (tmp_path / "lines.json").write_text(
        json.dumps([{"command_string": line, "id": i} for i, line in enumerate(lines)])
    )
    outcome = workplace.run("gcloud", "meta", "lint-gcloud-commands", f"--commands-file={tmp_path / 'lines.json'}")
    checked = json.loads(outcome.out)
    assert len(checked) == len(lines)
    assert [(found["command_string"], found["error_message"]) for found in checked if not found["success"]] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_every_link_leads_to_a_file(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / link).exists(), link
