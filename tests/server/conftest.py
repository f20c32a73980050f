"""The servers that the black-box suites share."""

import pytest

from tests.server.photos import photo
from tests.server.serving import request, serving


@pytest.fixture(scope="session")
def conformance_server():
    """One worker. The limit of 1 MB keeps the cases of too large bodies small."""
    with serving(MAX_UPLOAD_MB=1) as server:
        yield server


@pytest.fixture
def attacked_server():
    """One worker, MAX_UPLOAD_MB=20, and a photo answered already. Of each test's own, because it is attacked."""
    with serving(MAX_UPLOAD_MB=20) as server:
        # The first photo brings the memory to what the server needs in normal use.
        assert request(server.port, "POST", "/predict", photo(), **{"Content-Type": "image/jpeg"})[0] == 200
        yield server
