"""A tiny data set of two shapes, a bundle trained on it, and functions that run train.py."""

import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.conftest import ROOT
from tests.requirements import requires

FAST = ["--backbone", "cnn", "--image-size", "16", "--epochs", "6"]


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """28 images: `photos/round` and `photos/square shape`."""
    folder = tmp_path_factory.mktemp("data") / "photos"
    generator = np.random.default_rng(1)
    for label, draw in (("round", ImageDraw.ImageDraw.ellipse), ("square shape", ImageDraw.ImageDraw.rectangle)):
        (folder / label).mkdir(parents=True)
        for number in range(14):
            image = Image.new("RGB", (40, 32), tuple(generator.integers(0, 90, 3).tolist()))
            colour = tuple(generator.integers(150, 256, 3).tolist())
            left, top = generator.integers(1, 12, 2).tolist()
            draw(ImageDraw.Draw(image), (left, top, left + 18, top + 18), fill=colour)
            image.save(folder / label / f"{number:02}.png")
    return folder


def command(*arguments):
    """The command line of train.py with these arguments."""
    return [sys.executable, "-u", str(ROOT / "train.py"), *map(str, arguments)]


def contents(folder):
    """The content of every file, by its path relative to the folder."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def train(*arguments):
    """Run train.py in a separate process until it ends."""
    return subprocess.run(command(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=300)


def interrupt(moment, *arguments):
    """Run train.py and send SIGINT after the line that begins with `moment`; returns the exit code and stderr."""
    with subprocess.Popen(
        command(*arguments), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout:
            if line.startswith(moment):
                process.send_signal(signal.SIGINT)
                break
        _, stderr = process.communicate(timeout=60)
    return process.returncode, stderr


@pytest.fixture
def run(capfd):
    """Run train.py in this process: `run(*arguments)` returns its exit code, stdout and stderr."""
    import train as module

    def run(*arguments):
        before = signal.getsignal(signal.SIGINT)
        capfd.readouterr()
        try:
            code = module.main([str(argument) for argument in arguments])
        finally:
            signal.signal(signal.SIGINT, before)
        return code, *capfd.readouterr()

    return run


@pytest.fixture(scope="session")
def trained(photos, tmp_path_factory):
    """A bundle trained on the tiny data set, and what train.py printed."""
    requires("tensorflow")
    out = tmp_path_factory.mktemp("model") / "shapes"
    done = train("--data", photos, "--out", out, *FAST)
    assert done.returncode == 0, done.stderr
    return out, done.stdout


@pytest.fixture(scope="session")
def retrained(photos, tmp_path_factory):
    """As `trained`, with the same images and three files that are not images beside them."""
    requires("tensorflow")
    folder = tmp_path_factory.mktemp("retrained")
    shutil.copytree(photos, folder / "photos")
    (folder / "photos/round/broken.jpg").write_bytes(b"\xff\xd8 cut off")
    (folder / "photos/round/text.png").write_text("not an image")
    (folder / "photos/round/notes.txt").write_text("ignored, because of its suffix")
    done = train("--data", folder / "photos", "--out", folder / "shapes", *FAST)
    assert done.returncode == 0, done.stderr
    return folder / "shapes", done.stdout


@pytest.fixture
def copied_shapes(trained, tmp_path):
    """A copy of the trained bundle, the only entry of its folder."""
    return shutil.copytree(trained[0], tmp_path / "shapes")
