"""deploy/smoke.py against the app, and against changed responses of the app."""

import itertools
import json
import shutil
import sys
from pathlib import Path

import pytest

from .conftest import ROOT, Checkout
from .simulator import Cloud

BUNDLE = ROOT / "model/imagenet"


@pytest.fixture
def url(cloud: Cloud) -> str:
    """The app, behind a front end that can change its responses."""
    files = {
        str(p.relative_to(ROOT)): p.read_bytes()
        for part in ("app", "model/imagenet")
        for p in (ROOT / part).rglob("*")
        if p.is_file()
    }
    files["gunicorn.conf.py"] = (ROOT / "gunicorn.conf.py").read_bytes()
    return cloud.frontend.publish("smoke", lambda _: True, lambda: cloud.workloads.start(files, "gunicorn", {}))


def smoke(checkout: Checkout, url: str, *words: str, **environment: str):
    return checkout.run("python3", str(ROOT / "deploy/smoke.py"), url, f"--bundle={BUNDLE}", *words, **environment)


def test_all_checks_pass(url: str, checkout: Checkout) -> None:
    outcome = smoke(checkout, url)
    samples = json.loads((BUNDLE / "model.json").read_text())["samples"]
    assert outcome.code == 0, outcome
    assert outcome.out.endswith(f"all {3 + len(samples)} checks passed\n")


@pytest.mark.parametrize(
    ("path", "old", "new", "message"),
    [
        ("/predict", b'"label"', b'"lable"', "FAIL samples/"),
        ("/model", b'"version"', b'"version":"old","was"', "version is old, expected"),
        ("/model", b'"name"', b'"name":"other","was"', "name is other, expected"),
        ("/assets", None, b"", "FAIL page"),
        ("/", b"assets/", b"files/", "the page refers to no assets"),
    ],
)
def test_changed_response_is_found(
    path: str, old: bytes, new: bytes, message: str, url: str, cloud: Cloud, checkout: Checkout
) -> None:
    def tamper(requested: str, body: bytes) -> bytes:
        matches = requested == path if path == "/" else requested.startswith(path)
        return (body.replace(old, new) if old else new) if matches else body

    cloud.frontend.tamper = tamper
    outcome = smoke(checkout, url)
    assert outcome.code == 1
    assert message in outcome.out


@pytest.mark.parametrize(("difference", "code"), [(0.04, 0), (0.06, 1)])
def test_probability_may_differ_by_the_tolerance_in_both_directions(
    difference: float, code: int, url: str, cloud: Cloud, checkout: Checkout
) -> None:
    directions = itertools.cycle((1, -1))

    def tamper(requested: str, body: bytes) -> bytes:
        if not requested.startswith("/predict"):
            return body
        result = json.loads(body)
        result["predictions"][0]["probability"] += next(directions) * difference
        return json.dumps(result).encode()

    cloud.frontend.tamper = tamper
    outcome = smoke(checkout, url)
    assert outcome.code == code
    samples = json.loads((BUNDLE / "model.json").read_text())["samples"]
    assert outcome.out.count("FAIL") == code * len(samples)


def test_service_that_is_not_ready_is_reported_with_its_status(cloud: Cloud, checkout: Checkout) -> None:
    outcome = smoke(checkout, cloud.frontend.publish("not-ready", lambda _: True, lambda: None))
    assert outcome.code == 3  # the front end answered, not the service
    assert "not ready after 0 s: status 503: Service Unavailable" in outcome.out
    assert outcome.out.count("\n") == 2  # the other checks are skipped


def test_status_other_than_200_is_found(url: str, cloud: Cloud, checkout: Checkout) -> None:
    cloud.frontend.addresses["smoke"].allowed = lambda headers: "content-type" not in headers  # only /predict sends one
    outcome = smoke(checkout, url)
    samples = json.loads((BUNDLE / "model.json").read_text())["samples"]
    assert outcome.code == 1
    assert outcome.out.count("status 403: Your client does not have permission") == len(samples)


def test_different_bundle_is_found(url: str, checkout: Checkout, tmp_path: Path) -> None:
    shutil.copytree(BUNDLE, tmp_path / "bundle")
    card = json.loads((BUNDLE / "model.json").read_text())
    for item in card["samples"]:
        item["expected"]["label"] = "something else"
    (tmp_path / "bundle/model.json").write_text(json.dumps(card))
    outcome = checkout.run("python3", str(ROOT / "deploy/smoke.py"), url, f"--bundle={tmp_path / 'bundle'}")
    assert outcome.code == 1
    assert f"{len(card['samples'])} of {3 + len(card['samples'])} checks failed" in outcome.out


def test_unreachable_service_is_reported_in_one_line(checkout: Checkout) -> None:
    outcome = smoke(checkout, "http://127.0.0.1:9", "--wait", "1")
    assert outcome.code == 3
    assert "not ready after 1 s" in outcome.out
    assert "Traceback" not in outcome.err


def test_only_the_standard_library_is_needed(checkout: Checkout) -> None:
    outcome = checkout.run(sys.executable, "-I", "-S", str(ROOT / "deploy/smoke.py"), "--help")
    assert outcome.code == 0, outcome
