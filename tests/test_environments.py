"""What serving installs: little, and never TensorFlow."""

import subprocess

from tests.conftest import ROOT


def test_serving_environment_has_no_tensorflow_and_stays_small():
    packages = next((ROOT / ".venv" / "lib").glob("python3*")) / "site-packages"
    assert not [path.name for path in packages.iterdir() if path.name.startswith(("tensorflow", "keras"))]
    size = int(subprocess.run(["du", "-sm", ROOT / ".venv"], capture_output=True, check=True).stdout.split()[0])
    assert size < 200


def test_every_requirement_is_pinned_with_hashes():
    for path in [*ROOT.glob("requirements*.txt"), *ROOT.glob("bench/peers/*/requirements.txt")]:
        for line in path.read_text().replace("\\\n", " ").splitlines():
            assert "==" in line, line
            assert "--hash=sha256:" in line, line


def test_serving_and_training_pin_the_same_versions():
    def pins(name):
        lines = (ROOT / name).read_text().replace("\\\n", " ").splitlines()
        return {line.split("--hash")[0].strip() for line in lines}

    assert pins("requirements.txt") <= pins("requirements-train.txt") <= pins("requirements-dev.txt")
