"""The servers that the black-box suites share."""

import pytest

from tests.server.serving import serving


@pytest.fixture(scope="session")
def conformance_server():
    """One worker. The limit of 1 MB keeps the cases of too large bodies small."""
    with serving(MAX_UPLOAD_MB=1) as server:
        yield server
