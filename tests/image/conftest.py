"""The image is built once. In each file, tests that do not change a container share one."""

import json
import shutil
from pathlib import Path

import pytest

from tests.image.container import ROOT, build, engine_name, running

BUILD_FILES = (".dockerignore", "Dockerfile", "app", "docker", "gunicorn.conf.py", "pyproject.toml", "requirements.txt")


def pytest_collect_file():
    engine_name()


@pytest.fixture(scope="session")
def image():
    return build("quintet:test")


@pytest.fixture(scope="module")
def served(image):
    """A container that is ready, shared by the tests of a file."""
    with running(image) as container:
        container.wait_ready()
        yield container


@pytest.fixture(scope="session")
def card():
    return json.loads((ROOT / "model" / "imagenet" / "model.json").read_bytes())


@pytest.fixture(scope="session")
def photo(card):
    return (ROOT / "model" / "imagenet" / card["samples"][0]["file"]).read_bytes()


@pytest.fixture(scope="session")
def checkout(tmp_path_factory):
    """A second checkout, with other file dates, a strict umask, and a second bundle, model/other."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in BUILD_FILES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, copy_function=shutil.copyfile)
        else:
            shutil.copyfile(ROOT / name, folder / name)
    for name in ("imagenet", "other"):
        shutil.copytree(ROOT / "model" / "imagenet", folder / "model" / name, copy_function=shutil.copyfile)
    card = folder / "model" / "other" / "model.json"
    card.write_text(json.dumps({**json.loads(card.read_text()), "name": "other"}))
    for path in folder.rglob("*"):
        path.chmod(0o700 if path.is_dir() or path.suffix == ".sh" else 0o600)
    return Path(folder)
