"""The container engine, and containers that it runs under the limits of Cloud Run."""

import http.client
import json
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from tempfile import gettempdir

from tests.ports import free_port
from tests.requirements import unavailable

ROOT = Path(__file__).parent.parent.parent
PORT = 9123  # in the container; not the default 8080, so that the setting is tested
LIMITS = ["--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges"]


@cache
def engine_name() -> str:
    """docker or podman, the first that works. If there is none, the calling test is skipped, or fails in CI."""
    done = subprocess.run([ROOT / "docker" / "engine.sh"], capture_output=True, text=True, check=False)
    if done.returncode:
        unavailable(done.stderr.strip() + '; on Debian: eval "$(docker/engine-setup.sh)"')
    if done.stdout == "buildah\n":
        unavailable("buildah builds images but cannot run them: install podman")
    return done.stdout.strip()


def engine(*arguments: str, check: bool = True) -> subprocess.CompletedProcess:
    """Run `docker ...` or `podman ...`. With `check` it must succeed; the error contains what it printed."""
    command = [engine_name(), *arguments]
    # Not in the project's folder, because podman writes a file to the current folder if a container is out of memory.
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
    """Wait until `condition` returns a true value, and return it."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"the condition was not met within {seconds} s"
        time.sleep(0.005)
    return value


class Container:
    """A running container; `port` on 127.0.0.1 is forwarded to its PORT."""

    def __init__(self, name: str, port: int):
        self.name, self.port = name, port

    def request(self, method: str, path: str, body: bytes | None = None, kind: str = "image/jpeg"):
        """Returns (status, headers, body)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with closing(connection):
            connection.request(method, path, body, {"Content-Type": kind} if body else {})
            with connection.getresponse() as response:
                return response.status, response.headers, response.read()

    def predict(self, photo: bytes, query: str = "") -> tuple[int, dict]:
        status, _, body = self.request("POST", f"/predict{query}", photo)
        return status, json.loads(body)

    def is_ready(self) -> bool:
        try:
            return self.request("GET", "/ready")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def wait_ready(self) -> None:
        until(self.is_ready)

    def started(self) -> float:
        """The time when the container's process started, in seconds since boot; see proc_pid_stat(5)."""
        fields = self.execute("cat", "/proc/1/stat").rpartition(")")[2].split()
        return int(fields[19]) / 100

    def execute(self, *command: str) -> str:
        return engine("exec", self.name, *command).stdout

    def logs(self) -> tuple[list[str], list[str]]:
        """Returns (lines of stdout, lines of stderr)."""
        done = engine("logs", self.name)
        return done.stdout.splitlines(), done.stderr.splitlines()

    def stop(self) -> int:
        """Send SIGTERM, and SIGKILL after 10 s, as Cloud Run does. Returns the exit code."""
        engine("stop", "--time", "10", self.name)
        return inspect(self.name)["State"]["ExitCode"]


@contextmanager
def running(image: str, *flags: str, memory: str = "256m", cpus: float = 1, **settings: object) -> Iterator[Container]:
    """Run `image` with `settings` in its environment, and remove the container at the end."""
    port = free_port()
    environ = [f"--env={name}={value}" for name, value in {"PORT": PORT, **settings}.items()]
    limits = [*LIMITS, f"--memory={memory}", f"--cpus={cpus}"]
    started = engine("run", "--detach", f"--publish=127.0.0.1:{port}:{PORT}", *limits, *environ, *flags, image)
    name = started.stdout.strip()
    try:
        yield Container(name, port)
    finally:
        engine("rm", "--force", name)
