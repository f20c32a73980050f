"""compose.yaml, carried out: by `docker compose`, or by podman-compose where podman is the engine."""

import os
import socket
import subprocess

import pytest

from tests.image.container import ENGINE, ROOT, Container, engine, inspect


def compose(*arguments, **settings):
    podman = [ROOT / ".venv-dev" / "bin" / "podman-compose"]
    command = [*(podman if ENGINE == "podman" else ["docker", "compose"]), "--project-name", "quintet-test", *arguments]
    environ = {**os.environ, **settings}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def composed(image):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {"IMAGE": inspect(image)["Id"], "PORT": str(port)}
    compose("up", "--detach", "--no-build", **settings)
    name = engine("ps", "--quiet", "--filter", "name=quintet-test").stdout.strip()
    yield Container(name, port)
    compose("down", **settings)


def test_compose_serves_under_the_limits_that_are_tested(composed):
    composed.wait_ready()
    limits = inspect(composed.name)["HostConfig"]
    assert limits["Memory"] == 256 * 2**20
    assert limits["NanoCpus"] == 1_000_000_000
    assert limits["ReadonlyRootfs"]
    assert limits["SecurityOpt"] == ["no-new-privileges"]
    assert set(limits["PortBindings"]["8080/tcp"][0].items()) >= {("HostIp", "127.0.0.1")}
    status = composed.execute("cat", "/proc/1/status")
    assert "CapBnd:\t0000000000000000" in status
