"""Ours and its peers: how each is started, and the environment that it runs in. Two worker processes each."""

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from bench import MADE, ROOT, processes
from bench.pictures import BOUNDARY

PORTS = range(9700, 9800)
WORKERS = "2"
_START = 60  # seconds; a server that needs longer is broken


class ServerError(Exception):
    """A server does not start or does not answer; the message says which, and what it printed."""


@dataclass(frozen=True)
class Server:
    """`command` is looked up in `environment`; "{port}" in it is replaced."""

    name: str
    title: str
    environment: Path
    command: tuple[str, ...]


def _gunicorn(app: str) -> tuple[str, ...]:
    # -c: not our settings, which `gunicorn` would find by itself.
    return ("gunicorn", "-c", "/dev/null", "-w", WORKERS, "-b", "127.0.0.1:{port}", "--no-control-socket", app)


OURS = Server("quintet", "Quintet", ROOT / ".venv", ("gunicorn",))
PEERS = (
    Server(
        "fastapi",
        "FastAPI, uvicorn, LiteRT",
        MADE / "fastapi",
        ("uvicorn", "--workers", WORKERS, "--port", "{port}", "--log-level", "warning", "bench.peers.fastapi.app:app"),
    ),
    # In the very environment that ours runs in: nothing but the handler and the worker class differs.
    Server("flask-sync", "Flask, gunicorn sync, LiteRT", ROOT / ".venv", _gunicorn("bench.peers.flask_sync.app:app")),
    Server("litserve", "LitServe, LiteRT", MADE / "litserve", ("python", "-m", "bench.peers.litserve.app")),
    Server("flask-keras", "Flask, Keras predict", ROOT / ".venv-train", _gunicorn("bench.peers.flask_keras.app:app")),
)


@dataclass
class Running:
    """A server that has answered once. `first_answer` is the seconds from its start to that."""

    process: subprocess.Popen
    port: int
    first_answer: float

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/predict"


def environments(servers: Iterable[Server]) -> None:
    """Make the peers' environments from their pinned lists, where they are not there yet or the list has changed."""
    for folder in sorted({server.environment for server in servers} - {ROOT / ".venv", ROOT / ".venv-train"}):
        pinned = ROOT / "bench" / "peers" / folder.name / "requirements.txt"
        ready = folder / "ready"
        if ready.is_file() and ready.read_bytes() == pinned.read_bytes():
            continue
        print(f"Installing {folder.name} into {folder.relative_to(ROOT)} ...", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        install = ["-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--require-hashes", "-r", pinned]
        subprocess.run([folder / "bin/python", *install], check=True)
        ready.write_bytes(pinned.read_bytes())


@contextmanager
def running(server: Server, body: bytes, **settings: str | Path | int) -> Iterator[Running]:
    """Start `server` on a free port with `settings` in its environment, wait until it answers `body`, and end it."""
    port = free_port()
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("LOG_", "MAX_"))}
    environ |= {"PORT": str(port), "WEB_CONCURRENCY": WORKERS, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"}
    environ |= {name: str(value) for name, value in settings.items()}
    program, *arguments = (part.format(port=port) for part in server.command)
    with TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            [server.environment / "bin" / program, *arguments], cwd=ROOT, env=environ, stdout=output, stderr=output
        )
        try:
            _wait(process, port, body)
            yield Running(process, port, time.perf_counter() - started)
        except (ServerError, OSError) as error:
            output.seek(0)
            said = output.read()[-2000:].decode(errors="replace").strip()
            raise ServerError(f"{server.title}: {error}\n{said}") from error
        finally:
            if process.poll() is None:
                processes.end(process.pid)
            process.wait()


def _wait(process: subprocess.Popen, port: int, body: bytes) -> None:
    status = None
    until = time.monotonic() + _START
    while time.monotonic() < until:
        try:
            status, _ = ask(port, body)
        except OSError:
            if process.poll() is not None:
                raise ServerError(f"it ended with status {process.returncode}") from None
        if status == 200:
            return
        time.sleep(0.002)
    raise ServerError(f"no answer in {_START} s, last status {status}")


def ask(port: int, body: bytes, timeout: float = 30) -> tuple[int, bytes]:
    """Send one upload over a connection of its own. Raises OSError."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        connection.request("POST", "/predict", body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    except http.client.HTTPException as error:
        raise ConnectionError(f"no whole answer: {error!r}") from error
    finally:
        connection.close()


def free_port() -> int:
    """The first port of ours that nobody listens on."""
    for port in PORTS:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ServerError(f"no free port from {PORTS[0]} to {PORTS[-1]}")
