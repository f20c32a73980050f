"""The server that the load tests use, started by bench/ as `make run` does, with two workers."""

from pathlib import Path

import pytest

from bench import load, pictures
from bench.servers import OURS, running
from tests.conftest import IMAGENET


@pytest.fixture(scope="session", autouse=True)
def _tools():
    load.require("wrk", "slowhttptest")


@pytest.fixture(scope="session")
def body() -> Path:
    """The body of an upload of a small image, as a file."""
    with pictures.written() as files:
        yield files["small"].with_suffix(".body")


@pytest.fixture
def server(body):
    with running(OURS, body.read_bytes(), MODEL=IMAGENET) as process:
        yield process
