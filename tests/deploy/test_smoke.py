"""deploy/smoke.py against the app itself, and against one that answers wrongly."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from .conftest import ROOT, Workplace
from .simulator import Cloud

BUNDLE = ROOT / "model/imagenet"


@pytest.fixture
def url(cloud: Cloud) -> str:
    """The app, through a front end that can change its answers."""
    files = {
        str(p.relative_to(ROOT)): p.read_bytes()
        for part in ("app", "model/imagenet")
        for p in (ROOT / part).rglob("*")
        if p.is_file()
    }
    files["gunicorn.conf.py"] = (ROOT / "gunicorn.conf.py").read_bytes()
    return cloud.frontend.publish("smoke", lambda _: True, lambda: cloud.workloads.start(files, "gunicorn", {}))


def smoke(workplace: Workplace, url: str, *words: str, **environment: str):
    return workplace.run("python3", str(ROOT / "deploy/smoke.py"), url, f"--bundle={BUNDLE}", *words, **environment)


def test_all_checks_pass(url: str, workplace: Workplace) -> None:
    outcome = smoke(workplace, url)
    samples = json.loads((BUNDLE / "model.json").read_text())["samples"]
    assert outcome.code == 0, outcome
    assert outcome.out.endswith(f"all {3 + len(samples)} checks passed\n")


@pytest.mark.parametrize(
    ("path", "wrong", "right", "said"),
    [
        ("/predict", b'"label"', b'"lable"', "FAIL samples/"),
        ("/model", b'"version"', b'"version":"old","was"', "version is old, expected"),
        ("/assets", None, b"", "FAIL page"),
    ],
)
def test_what_is_wrong_is_found(
    path: str, wrong: bytes, right: bytes, said: str, url: str, cloud: Cloud, workplace: Workplace
) -> None:
    def tamper(asked: str, body: bytes) -> bytes:
        return (body.replace(wrong, right, 1) if wrong else right) if asked.startswith(path) else body

    cloud.frontend.tamper = tamper
    outcome = smoke(workplace, url)
    assert outcome.code == 1
    assert said in outcome.out


def test_another_bundle_than_the_one_that_serves_is_found(url: str, workplace: Workplace, tmp_path: Path) -> None:
    shutil.copytree(BUNDLE, tmp_path / "bundle")
    card = json.loads((BUNDLE / "model.json").read_text())
    for item in card["samples"]:
        item["expected"]["label"] = "something else"
    (tmp_path / "bundle/model.json").write_text(json.dumps(card))
    outcome = workplace.run("python3", str(ROOT / "deploy/smoke.py"), url, f"--bundle={tmp_path / 'bundle'}")
    assert outcome.code == 1
    assert f"{len(card['samples'])} of {3 + len(card['samples'])} checks failed" in outcome.out


def test_nobody_there_is_one_line_after_the_wait(workplace: Workplace) -> None:
    outcome = smoke(workplace, "http://127.0.0.1:9", "--wait", "1")
    assert outcome.code == 1
    assert "not ready after 1 s" in outcome.out
    assert "Traceback" not in outcome.err


def test_only_the_standard_library_is_needed(workplace: Workplace) -> None:
    outcome = workplace.run(sys.executable, "-I", "-S", str(ROOT / "deploy/smoke.py"), "--help")
    assert outcome.code == 0, outcome
