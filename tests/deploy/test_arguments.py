"""What is checked before anything is changed: arguments, settings, tools, login, project, commit and bundle."""

import os
from pathlib import Path

import pytest

from .conftest import PROJECT, Workplace
from .simulator import Cloud
from .simulator.service import permission_denied

SCRIPTS = [
    f"deploy/{target}/{verb}.sh" for target in ("cloudrun", "gae", "functions") for verb in ("deploy", "teardown")
]
DEPLOY = "deploy/cloudrun/deploy.sh"


@pytest.mark.parametrize("script", SCRIPTS)
def test_missing_settings_file_is_named_with_its_cure(script: str, workplace: Workplace) -> None:
    (workplace.folder / "deploy/staging.env").unlink()
    outcome = workplace.run(script)
    assert outcome.code == 1
    assert "there is no deploy/staging.env. Make it: cp deploy/staging.env.example deploy/staging.env" in outcome.err


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_names_the_arguments(script: str, workplace: Workplace) -> None:
    outcome = workplace.run(script, "--help")
    assert outcome.code == 0
    assert f"{script} [--env staging|production] [--yes] [--dry-run]" in outcome.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--fast"], "'--fast' is no argument"),
        (["--env", "test"], "--env 'test' is not known"),
        (["--env"], "--env"),
    ],
)
def test_wrong_arguments(words: list[str], said: str, workplace: Workplace) -> None:
    outcome = workplace.run(DEPLOY, *words)
    assert outcome.code == 1
    assert said in outcome.err


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PROJECT", None, "PROJECT is missing. Add a line PROJECT=..."),
        ("REGION", None, "REGION is missing"),
        ("PROJECT", "Quintet", "PROJECT=Quintet is not right"),
        ("SERVICE", "quintet;ls", "SERVICE=quintet;ls is not right"),
        ("SERVICE", "$(touch broken)", "SERVICE=$(touch broken) is not right"),
        ("SERVICE", "a-name-of-more-than-20-characters", "2 to 20 lower-case letters"),
        ("MODEL", "../elsewhere", "MODEL=../elsewhere is not right"),
        ("MEMORY", "512MB", "a number, then Mi or Gi, such as 512Mi"),
        ("PUBLIC", "yes", "true (everybody may call) or false"),
        ("CONCURRENCY", "0", "1 to 999 requests"),
        ("MIN_INSTANCES", "9", "MIN_INSTANCES=9 is more than MAX_INSTANCES=2"),
        ("COLOUR", "red", "COLOUR is no setting. Known: PROJECT REGION SERVICE"),
        ("MODEL", "model/none", "there is no bundle in model/none"),
    ],
)
def test_wrong_settings_are_named_with_the_rule(
    name: str, value: str | None, said: str, cloud: Cloud, workplace: Workplace
) -> None:
    workplace.settings(**{name: value})
    outcome = workplace.run(DEPLOY)
    assert outcome.code == 1
    assert said in outcome.err
    assert cloud.changes() == []
    assert not (workplace.folder / "broken").exists()


def test_line_that_is_no_setting_is_never_executed(workplace: Workplace) -> None:
    with (workplace.folder / "deploy/staging.env").open("a") as file:
        file.write("touch broken\n")
    outcome = workplace.run(DEPLOY)
    assert outcome.code == 1
    assert "'touch broken' should be NAME=VALUE" in outcome.err
    assert not (workplace.folder / "broken").exists()


def test_no_gcloud_on_path(workplace: Workplace, tmp_path: Path) -> None:
    for tool in ("bash", "env", "dirname", "mktemp", "git", "python3", "rm", "cat"):
        found = next(Path(p) / tool for p in ("/usr/bin", "/bin") if (Path(p) / tool).exists())
        (tmp_path / tool).symlink_to(found)
    outcome = workplace.run(DEPLOY, PATH=str(tmp_path))
    assert outcome.code == 1
    assert (
        "gcloud is not on PATH. Install the Google Cloud CLI: https://cloud.google.com/sdk/docs/install" in outcome.err
    )


def test_not_logged_in(workplace: Workplace, tmp_path: Path) -> None:
    outcome = workplace.run(DEPLOY, CLOUDSDK_CONFIG=str(tmp_path), CLOUDSDK_AUTH_ACCESS_TOKEN_FILE="")
    assert outcome.code == 1
    assert "Log in: gcloud auth login" in outcome.err


def test_project_that_the_caller_may_not_see(cloud: Cloud, workplace: Workplace) -> None:
    cloud.fail("GET serviceusage", permission_denied("serviceusage.services.list", PROJECT))
    outcome = workplace.run(DEPLOY)
    assert outcome.code == 1
    assert f"cannot look into project {PROJECT} (PROJECT in deploy/staging.env)" in outcome.err


def test_production_refuses_what_is_not_committed(cloud: Cloud, workplace: Workplace) -> None:
    workplace.settings("production")
    with (workplace.folder / "app/__init__.py").open("a") as file:
        file.write("# not committed\n")
    outcome = workplace.run(DEPLOY, "--env", "production", "--yes")
    assert outcome.code == 1
    assert "there are changes that are not committed" in outcome.err
    assert cloud.changes() == []


@pytest.mark.parametrize("answer", ["n\n", ""])
def test_production_asks_and_names_what_changes(answer: str, cloud: Cloud, workplace: Workplace) -> None:
    workplace.settings("production")
    outcome = workplace.run(DEPLOY, "--env", "production", answer=answer)
    assert outcome.code == 1
    assert f"(model/imagenet) to cloudrun as quintet in {PROJECT}, europe-west1; public: false." in outcome.err
    assert "This changes production. Go on? [y/N]" in outcome.err
    assert "stopped; nothing was changed" in outcome.err
    assert cloud.changes() == []


def test_changes_that_are_not_committed_have_an_image_of_their_own(cloud: Cloud, workplace: Workplace) -> None:
    with (workplace.folder / "app/__init__.py").open("a") as file:
        file.write("# not committed\n")
    assert "-changed-" in workplace.run(DEPLOY, "--dry-run").out
    assert cloud.changes() == []


def test_every_script_is_executable_and_every_part_is_not() -> None:
    root = Path(__file__).parents[2] / "deploy"
    for path in root.rglob("*.sh"):
        assert os.access(path, os.X_OK) == (path.name in ("deploy.sh", "teardown.sh")), path
