"""Fixtures of all tests. The app is tested with the committed ImageNet bundle."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image

from app import bundle, create_app
from app.config import Config

ROOT = Path(__file__).parent.parent
IMAGENET = ROOT / "model" / "imagenet"


@pytest.fixture(scope="session")
def imagenet() -> bundle.Bundle:
    return bundle.read(IMAGENET)


@pytest.fixture(scope="session")
def app() -> Flask:
    return create_app(Config(model=str(IMAGENET)))


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture(scope="session")
def cat() -> bytes:
    """A JPEG photo of a cat."""
    return (IMAGENET / "samples" / "cat.jpg").read_bytes()


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """Encode a Pillow image: `encode(image, "PNG", **options)`."""

    def encode(image: Image.Image, form: str, **options: object) -> bytes:
        file = io.BytesIO()
        image.save(file, form, **options)
        return file.getvalue()

    return encode


@pytest.fixture
def copied_bundle(tmp_path: Path) -> Path:
    """A copy of the ImageNet bundle that the test may damage."""
    return Path(shutil.copytree(IMAGENET, tmp_path / "imagenet"))


@pytest.fixture
def edit_card(copied_bundle: Path) -> Callable[..., None]:
    """Change fields of the copied bundle's card: `edit_card(labels=3)`."""

    def edit(**fields: object) -> None:
        path = copied_bundle / bundle.CARD
        path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **fields}), "utf-8")

    return edit
