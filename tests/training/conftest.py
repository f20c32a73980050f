"""A tiny data set of two shapes, and train.py run as its user runs it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.requirements import requires

ROOT = Path(__file__).parents[2]
FAST = ["--backbone", "cnn", "--image-size", "16", "--epochs", "6"]


def pytest_collect_file():
    requires("tensorflow")


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """28 pictures: `photos/round` and `photos/square shape`."""
    folder = tmp_path_factory.mktemp("data") / "photos"
    generator = np.random.default_rng(1)
    for label, draw in (("round", ImageDraw.ImageDraw.ellipse), ("square shape", ImageDraw.ImageDraw.rectangle)):
        (folder / label).mkdir(parents=True)
        for number in range(14):
            picture = Image.new("RGB", (40, 32), tuple(generator.integers(0, 90, 3).tolist()))
            colour = tuple(generator.integers(150, 256, 3).tolist())
            left, top = generator.integers(1, 12, 2).tolist()
            draw(ImageDraw.Draw(picture), (left, top, left + 18, top + 18), fill=colour)
            picture.save(folder / label / f"{number:02}.png")
    return folder


def command(*arguments):
    """The command line of train.py with these arguments."""
    return [sys.executable, "-u", str(ROOT / "train.py"), *map(str, arguments)]


@pytest.fixture(scope="session")
def train():
    """Run train.py with arguments and return the finished process."""

    def run(*arguments, **environment):
        return subprocess.run(
            command(*arguments), cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=300
        )

    return run


@pytest.fixture(scope="session")
def trained(photos, train, tmp_path_factory):
    """A bundle trained on the tiny data set, and what train.py printed."""
    out = tmp_path_factory.mktemp("model") / "shapes"
    done = train("--data", photos, "--out", out, *FAST)
    assert done.returncode == 0, done.stderr
    return out, done.stdout
