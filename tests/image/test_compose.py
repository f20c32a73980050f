"""compose.yaml, started by `docker compose`, or by podman-compose if podman is the engine."""

import os
import subprocess

import pytest

from tests.image.container import ROOT, Container, engine, engine_name, inspect
from tests.ports import free_port


def compose(*arguments, **settings):
    program = [ROOT / ".venv-dev" / "bin" / "podman-compose"] if engine_name() == "podman" else ["docker", "compose"]
    command = [*program, "--project-name", "quintet-test", *arguments]
    environ = {**os.environ, **settings}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def composed(image):
    port = free_port()
    settings = {"IMAGE": inspect(image)["Id"], "PORT": str(port)}
    compose("up", "--detach", "--no-build", **settings)
    name = engine("ps", "--quiet", "--filter", "name=quintet-test").stdout.strip()
    yield Container(name, port)
    compose("down", **settings)


def test_compose_applies_the_limits_of_the_other_tests(composed):
    composed.wait_ready()
    limits = inspect(composed.name)["HostConfig"]
    assert limits["Memory"] == 256 * 2**20
    assert limits["NanoCpus"] == 1_000_000_000
    assert limits["ReadonlyRootfs"]
    assert limits["SecurityOpt"] == ["no-new-privileges"]
    assert set(limits["PortBindings"]["8080/tcp"][0].items()) >= {("HostIp", "127.0.0.1")}
    status = composed.execute("cat", "/proc/1/status")
    assert "CapBnd:\t0000000000000000" in status
