"""The pinned packages: few for serving, no TensorFlow outside training, the same versions everywhere."""

import pytest

from tests.conftest import ROOT

PINNED = [*ROOT.glob("requirements*.txt"), *ROOT.glob("bench/peers/*/requirements.txt")]


def pins(path):
    """{package: its pins}. Several pins of one package are for several Python versions."""
    pins = {}
    for line in path.read_text().replace("\\\n", " ").splitlines():
        pin = line.split("--hash")[0].strip()
        pins.setdefault(pin.partition("==")[0], set()).add(pin)
    return pins


def test_serving_environment_has_no_tensorflow_and_stays_small():
    packages = next((ROOT / ".venv" / "lib").glob("python3*")) / "site-packages"
    assert not [path.name for path in packages.iterdir() if path.name.startswith(("tensorflow", "keras"))]
    size = sum(path.lstat().st_blocks for path in (ROOT / ".venv").rglob("*")) * 512
    assert size < 200 * 2**20


@pytest.mark.parametrize("path", PINNED, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_requirement_is_pinned_with_hashes(path):
    for line in path.read_text().replace("\\\n", " ").splitlines():
        assert "==" in line
        assert "--hash=sha256:" in line


def test_environments_agree_on_the_version_of_every_package():
    serving, training, development = (pins(ROOT / f"requirements{name}.txt") for name in ("", "-train", "-dev"))
    assert serving.items() <= training.items()
    assert serving.items() <= development.items()
    shared = training.keys() & development.keys()
    assert {name: training[name] for name in shared} == {name: development[name] for name in shared}


def test_only_training_pins_tensorflow():
    for path in PINNED:
        has_tensorflow = any(name.startswith(("tensorflow", "keras")) for name in pins(path))
        assert has_tensorflow == (path.name == "requirements-train.txt"), path
