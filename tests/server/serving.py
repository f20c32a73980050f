"""Start the real server, as `make run` does, in the environment that has nothing but what serving needs."""

import http.client
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT
from tests.ports import free_port
from tests.server import memory

# SERVER_ROOT names another checkout whose app is to be tested.
SERVED = Path(os.environ.get("SERVER_ROOT", ROOT))
GUNICORN = ROOT / ".venv" / "bin" / "gunicorn"
_START = 30  # seconds
_SETTINGS = ("MODEL", "PORT", "WEB_CONCURRENCY", "MAX_", "LOG_", "SCRIPT_NAME", "GUNICORN_CMD_ARGS")


@dataclass(frozen=True)
class Server:
    """A server that is ready. `log` is the file that its output goes to."""

    process: subprocess.Popen
    port: int
    log: Path

    @property
    def pid(self) -> int:
        """The pid of gunicorn's master process."""
        return self.process.pid


def request(
    port: int,
    method: str,
    path: str,
    body: bytes | None = None,
    timeout: float = 10,
    source: str = "127.0.0.1",
    **headers: str,
) -> tuple[int, bytes]:
    """Status and content of one request on a connection of its own, from the address `source`.

    Raises OSError or HTTPException.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout, source_address=(source, 0))
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def start(output: int, command: list[str] | None = None, **settings: object) -> subprocess.Popen:
    """Start gunicorn, or `command`, with `settings` in its environment; PORT must be one of them."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)}
    environ |= {name: str(value) for name, value in settings.items()}
    # The default address is 0.0.0.0: a server under test is reachable from this machine only.
    environ.setdefault("GUNICORN_CMD_ARGS", f"--bind 127.0.0.1:{settings['PORT']}")
    return subprocess.Popen(
        command or [str(GUNICORN)],
        cwd=SERVED,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
    )


def is_ready(port: int, prefix: str = "") -> bool:
    """Whether /ready answers 200. `prefix` is the SCRIPT_NAME of the server."""
    with suppress(OSError, http.client.HTTPException):
        return request(port, "GET", f"{prefix}/ready", timeout=1)[0] == 200
    return False


def wait_ready(port: int, process: subprocess.Popen, seconds: float = _START, prefix: str = "") -> None:
    """Wait until /ready answers 200; fail after `seconds`, or if the server has ended."""
    deadline = time.monotonic() + seconds
    while not is_ready(port, prefix):
        assert process.poll() is None, f"the server ended with status {process.returncode}"
        assert time.monotonic() < deadline, f"not ready after {seconds} s"
        time.sleep(0.01)


@contextmanager
def serving(**settings: object) -> Iterator[Server]:
    """A server on a free port with one worker and 512 MiB of memory, unless `settings` say otherwise."""
    settings = {"PORT": free_port(), "WEB_CONCURRENCY": 1, "LOG_LEVEL": "warning"} | settings
    with tempfile.NamedTemporaryFile(suffix=".log") as log, memory.limited([str(GUNICORN)]) as command:
        process = start(log.fileno(), command, **settings)
        server = Server(process, int(str(settings["PORT"])), Path(log.name))
        try:
            wait_ready(server.port, process, prefix=str(settings.get("SCRIPT_NAME", "")))
            yield server
        except AssertionError as error:
            error.add_note(f"The server's log:\n{server.log.read_text()[-2000:]}")
            raise
        finally:
            _end(process)


def _end(process: subprocess.Popen) -> None:
    """End the master and its workers. SIGQUIT is gunicorn's quick shutdown."""
    if process.poll() is None:
        process.send_signal(signal.SIGQUIT)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()
