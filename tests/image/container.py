"""A container engine, and containers run by it as Cloud Run would, seen from outside."""

import http.client
import json
import os
import shlex
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import gettempdir

ROOT = Path(__file__).parent.parent.parent
INSIDE = 9123  # PORT, anything but the image's 8080
LIMITS = ["--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges"]


def _engine() -> str:
    done = subprocess.run([ROOT / "docker" / "engine.sh"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    if done.stdout == "buildah\n":
        raise RuntimeError("buildah builds images and runs none: install podman")
    return done.stdout.strip()


ENGINE = _engine()


def engine(*arguments: str, check: bool = True) -> subprocess.CompletedProcess:
    """Run `docker ...` or `podman ...`; what it prints is in the answer, and in the error where it fails."""
    command = [ENGINE, *arguments]
    # Not in the project's folder: where a container runs out of memory, podman leaves a note in the current one.
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=gettempdir())
    assert done.returncode == 0 or not check, f"{shlex.join(command)}\n{done.stdout}{done.stderr}"
    return done


def build(image: str, *flags: str, folder: Path = ROOT, **settings: str) -> str:
    """Build `image` from `folder` as `make image` does. Returns its name."""
    command = [folder / "docker" / "build.sh", *shlex.split(os.environ.get("BUILD_FLAGS", "")), *flags]
    environ = {**os.environ, "MODEL": "", **settings, "IMAGE": image}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, f"{shlex.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return image


def inspect(name: str) -> dict:
    return json.loads(engine("inspect", name).stdout)[0]


def layers(image: str) -> list[str]:
    """The digests of the layers that `image` adds to its base."""
    base = inspect(os.environ.get("PYTHON_IMAGE") or "python:3.13-slim")["RootFS"]["Layers"]
    found = inspect(image)["RootFS"]["Layers"]
    assert found[: len(base)] == base
    return found[len(base) :]


def until(condition: Callable[[], object], seconds: float = 20) -> object:
    """Wait for `condition` to be true; returns its value."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"waited {seconds} s in vain"
        time.sleep(0.005)
    return value


class Container:
    """`port` on the loopback address is the container's PORT."""

    def __init__(self, name: str, port: int):
        self.name, self.port = name, port

    def request(self, method: str, path: str, body: bytes | None = None, kind: str = "image/jpeg"):
        """-> (status, headers, body)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with closing(connection):
            connection.request(method, path, body, {"Content-Type": kind} if body else {})
            with connection.getresponse() as response:
                return response.status, response.headers, response.read()

    def predict(self, picture: bytes, query: str = "") -> tuple[int, dict]:
        status, _, body = self.request("POST", f"/predict{query}", picture)
        return status, json.loads(body)

    def is_ready(self) -> bool:
        try:
            return self.request("GET", "/ready")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def wait_ready(self) -> None:
        until(self.is_ready)

    def started(self) -> float:
        """When the container's process was started, in seconds since the machine was booted; see proc_pid_stat(5)."""
        fields = self.execute("cat", "/proc/1/stat").rpartition(")")[2].split()
        return int(fields[19]) / 100

    def execute(self, *command: str) -> str:
        return engine("exec", self.name, *command).stdout

    def logs(self) -> tuple[list[str], list[str]]:
        """The lines on stdout and on stderr."""
        done = engine("logs", self.name)
        return done.stdout.splitlines(), done.stderr.splitlines()

    def stop(self) -> int:
        """SIGTERM, and SIGKILL after 10 s, as Cloud Run does. Returns the exit code."""
        engine("stop", "--time", "10", self.name)
        return inspect(self.name)["State"]["ExitCode"]


@contextmanager
def running(image: str, *flags: str, memory: str = "256m", cpus: float = 1, **settings: object) -> Iterator[Container]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environ = [f"--env={name}={value}" for name, value in {"PORT": INSIDE, **settings}.items()]
    limits = [*LIMITS, f"--memory={memory}", f"--cpus={cpus}"]
    started = engine("run", "--detach", f"--publish=127.0.0.1:{port}:{INSIDE}", *limits, *environ, *flags, image)
    name = started.stdout.strip()
    try:
        yield Container(name, port)
    finally:
        engine("rm", "--force", name)
