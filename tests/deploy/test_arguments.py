"""Checks before the first change: arguments, settings, tools, login, project, commit and bundle."""

import os
import shutil
from pathlib import Path

import pytest

from .conftest import PROJECT, Checkout
from .simulator import Cloud
from .simulator.service import permission_denied

TARGETS = ("cloudrun", "functions", "gae", "gce", "gke")
SCRIPTS = [f"deploy/{target}/{verb}.sh" for target in TARGETS for verb in ("deploy", "teardown")]
DEPLOY = "deploy/cloudrun/deploy.sh"


@pytest.mark.parametrize("script", SCRIPTS)
def test_missing_settings_file_is_named_with_the_fix(script: str, checkout: Checkout) -> None:
    (checkout.folder / "deploy/staging.env").unlink()
    outcome = checkout.run(script)
    assert outcome.code == 1
    assert "deploy/staging.env not found. Create it: cp deploy/staging.env.example deploy/staging.env" in outcome.err


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_names_the_arguments(script: str, checkout: Checkout) -> None:
    outcome = checkout.run(script, "--help")
    assert outcome.code == 0
    assert f"{script} [--env staging|production] [--yes] [--dry-run]" in outcome.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--fast"], "unknown argument '--fast'; known arguments: --env staging|production, --yes, --dry-run"),
        (["--env", "test"], "invalid --env 'test': expected staging or production"),
        (["--env"], "missing value of --env: expected staging or production"),
    ],
)
def test_invalid_arguments_are_rejected(words: list[str], message: str, checkout: Checkout) -> None:
    outcome = checkout.run(DEPLOY, *words)
    assert outcome.code == 1
    assert message in outcome.err


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PROJECT", None, "missing setting PROJECT: expected a project ID: 6 to 30"),
        ("REGION", None, "missing setting REGION: expected a region, such as europe-west1. Add a line REGION=..."),
        ("PROJECT", "Quintet", "invalid PROJECT 'Quintet': expected a project ID"),
        ("SERVICE", "quintet;ls", "invalid SERVICE 'quintet;ls': expected"),
        ("SERVICE", "$(touch broken)", "invalid SERVICE '$(touch broken)'"),
        ("SERVICE", "a-name-of-21-letter-x", "2 to 20 lower-case letters"),
        ("MODEL", "../elsewhere", "invalid MODEL '../elsewhere': expected a folder below model/"),
        ("MEMORY", "512MB", "invalid MEMORY '512MB': expected a number followed by Mi or Gi, such as 512Mi"),
        ("PUBLIC", "yes", "invalid PUBLIC 'yes': expected true or false"),
        ("CONCURRENCY", "0", "invalid CONCURRENCY '0': expected a number from 1 to 999"),
        ("MIN_INSTANCES", "9", "invalid MIN_INSTANCES '9': expected at most MAX_INSTANCES, which is 2"),
        ("COLOUR", "red", "unknown setting COLOUR; known settings: PROJECT REGION SERVICE"),
        ("MODEL", "model/none", "no bundle in model/none"),
    ],
)
def test_invalid_setting_is_named_with_its_allowed_values(
    name: str, value: str | None, message: str, cloud: Cloud, checkout: Checkout
) -> None:
    checkout.settings(**{name: value})
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 1
    assert message in outcome.err
    assert cloud.changes() == []
    assert not (checkout.folder / "broken").exists()


def test_last_line_of_the_settings_needs_no_newline(checkout: Checkout) -> None:
    checkout.settings(PUBLIC="yes")
    file = checkout.folder / "deploy/staging.env"
    file.write_text(file.read_text().removesuffix("\n"))
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 1
    assert "invalid PUBLIC 'yes'" in outcome.err


def test_settings_file_is_not_executed(checkout: Checkout) -> None:
    with (checkout.folder / "deploy/staging.env").open("a") as file:
        file.write("touch broken\n")
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 1
    assert "invalid line 'touch broken': expected NAME=VALUE" in outcome.err
    assert not (checkout.folder / "broken").exists()


def test_missing_gcloud_is_reported_with_the_fix(checkout: Checkout, tmp_path: Path) -> None:
    for tool in ("bash", "env", "dirname", "mktemp", "git", "python3", "rm", "cat"):
        found = next(Path(p) / tool for p in ("/usr/bin", "/bin") if (Path(p) / tool).exists())
        (tmp_path / tool).symlink_to(found)
    outcome = checkout.run(DEPLOY, PATH=str(tmp_path))
    assert outcome.code == 1
    assert (
        "gcloud is not on PATH. Install the Google Cloud CLI: https://cloud.google.com/sdk/docs/install" in outcome.err
    )


def test_missing_login_is_reported_with_the_fix(checkout: Checkout, tmp_path: Path) -> None:
    outcome = checkout.run(DEPLOY, CLOUDSDK_CONFIG=str(tmp_path), CLOUDSDK_AUTH_ACCESS_TOKEN_FILE="")
    assert outcome.code == 1
    assert "Log in: gcloud auth login" in outcome.err


def test_inaccessible_project_is_named(cloud: Cloud, checkout: Checkout) -> None:
    cloud.fail("GET serviceusage", permission_denied("serviceusage.services.list", PROJECT))
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 1
    assert f"could not read project {PROJECT} (PROJECT in deploy/staging.env)" in outcome.err


def test_production_rejects_uncommitted_changes(cloud: Cloud, checkout: Checkout) -> None:
    checkout.settings("production")
    with (checkout.folder / "app/__init__.py").open("a") as file:
        file.write("# not committed\n")
    outcome = checkout.run(DEPLOY, "--env", "production", "--yes")
    assert outcome.code == 1
    assert "uncommitted changes (git status)" in outcome.err
    assert cloud.changes() == []


@pytest.mark.parametrize("answer", ["n\n", ""])
def test_production_asks_for_confirmation(answer: str, cloud: Cloud, checkout: Checkout) -> None:
    checkout.settings("production")
    outcome = checkout.run(DEPLOY, "--env", "production", answer=answer)
    assert outcome.code == 1
    assert f"(model/imagenet) to cloudrun as quintet in {PROJECT}, europe-west1; public: false." in outcome.err
    assert "This changes production. Continue? [y/N]" in outcome.err
    assert "not confirmed; nothing was changed" in outcome.err
    assert cloud.changes() == []


def test_uncommitted_changes_are_part_of_the_image_tag(cloud: Cloud, checkout: Checkout) -> None:
    with (checkout.folder / "app/__init__.py").open("a") as file:
        file.write("# not committed\n")
    assert "-changed-" in checkout.run(DEPLOY, "--dry-run").out
    assert cloud.changes() == []


def image_tag(checkout: Checkout) -> str:
    script = "source deploy/common.sh; TARGET=cloudrun; read_settings deploy/staging.env; name_release; echo $TAG"
    outcome = checkout.run("bash", "-euo", "pipefail", "-c", script)
    assert outcome.code == 0, outcome
    return outcome.out.strip()


def test_content_of_new_files_is_part_of_the_image_tag(checkout: Checkout) -> None:
    tags = set()
    for content in ("first", "second"):
        (checkout.folder / "app/new.py").write_text(content)
        tags.add(image_tag(checkout))
    assert len(tags) == 2


def test_version_of_a_bundle_that_git_ignores_is_part_of_the_image_tag(checkout: Checkout) -> None:
    checkout.settings(MODEL="model/other")
    shutil.copytree(checkout.folder / "model/imagenet", checkout.folder / "model/other")
    (checkout.folder / "model/other/model.json").write_text('{"version": "2026-11-24-0123abcd"}')
    commit = checkout.git("rev-parse", "HEAD")
    assert image_tag(checkout) == f"{commit}-other-2026-11-24-0123abcd"


def test_only_the_scripts_are_executable() -> None:
    root = Path(__file__).parents[2] / "deploy"
    for path in root.rglob("*.sh"):
        assert os.access(path, os.X_OK) == (path.name in ("deploy.sh", "teardown.sh", "setup.sh")), path


def test_configured_project_of_gcloud_is_not_used(cloud: Cloud, checkout: Checkout) -> None:
    checkout.settings(PUBLIC="true")
    configured = {"CLOUDSDK_CORE_PROJECT": "another-project"}
    outcome = checkout.run(DEPLOY, **configured)
    assert outcome.code == 0, outcome
    printed = checkout.run(DEPLOY, "--dry-run", **configured)
    assert "export CLOUDSDK_CORE_PROJECT=quintet-staging\n" in printed.out
    requests = [f"{call} {call.headers} {call.content!r}" for call in cloud.calls]
    assert not [request for request in requests if "another-project" in request]
