"""BUILD=local: podman builds and pushes the image, and the pushed image is deployed."""

import os
import shutil
from pathlib import Path

import pytest

from tests.requirements import requires

from .conftest import Checkout
from .simulator import Cloud


@pytest.fixture
def engine(tmp_path: Path) -> dict[str, str]:
    """The real podman. Its builds bypass the simulator, because they install packages from the package index."""
    requires("podman")
    real = shutil.which("podman")
    names = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "SSL_CERT_FILE")
    flags = os.environ.get("BUILD_FLAGS", "")
    podman = tmp_path / "podman"
    podman.write_text(
        "#!/bin/sh\n"
        f'if [ $1 = build ]; then shift; unset {" ".join(names)}; exec {real} build {flags} "$@"; fi\n'
        f'exec {real} "$@"\n'
    )
    podman.chmod(0o755)
    passed = {name: os.environ[name] for name in ("CONTAINERS_CONF", "PYTHON_IMAGE") if name in os.environ}
    return {**passed, "ENGINE": "podman", "REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")}


def test_locally_built_image_is_pushed_and_deployed_by_digest(
    cloud: Cloud, checkout: Checkout, engine: dict[str, str], tmp_path: Path
) -> None:
    checkout.settings(BUILD="local", PUBLIC="true")
    path = f"{tmp_path}:{checkout.environment['PATH']}"
    outcome = checkout.run("deploy/cloudrun/deploy.sh", PATH=path, **engine)
    assert outcome.code == 0, outcome
    assert cloud.changes("builds$") == []
    (digest,) = set(cloud.artifactregistry.tags.values())
    (revision,) = cloud.run.revisions.values()
    assert revision["spec"]["containers"][0]["image"].endswith(f"/quintet@{digest}")
    assert "tiger cat" in outcome.err + outcome.out  # the smoke test ran against the pushed image
