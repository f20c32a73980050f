"""Programs and packages that some tests need: without them the tests are skipped, or fail if CI is set.

A folder states its needs in its conftest.py, a single file at its top:

    def pytest_collect_file():  # conftest.py
        requires("wrk", "slowhttptest")

    requires("curl", "git")  # test_something.py
"""

import importlib.util
import os
import shutil

import pytest

# Everything else is a Debian package of the same name.
INSTALL = {
    "docker": "apt-get install docker.io",
    "gcloud": "https://cloud.google.com/sdk/docs/install",
    "kubectl": "https://kubernetes.io/docs/tasks/tools",
    "tensorflow": "`make test` runs these tests in .venv-train, which has it",
}


def requires(*names: str) -> None:
    """Skip the tests that are being collected or run if a program or Python package of these is missing."""
    for name in names:
        if shutil.which(name) is None and importlib.util.find_spec(name) is None:
            unavailable(f"{name} is missing: {INSTALL.get(name, f'apt-get install {name}')}")


def unavailable(reason: str) -> None:
    """Skip the tests that are being collected or run. In CI they fail, because CI must run every test."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason, allow_module_level=True)
