"""Quintet and its peers: how each server is started, and its Python environment. Each has two worker processes."""

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

from bench import CACHE, ROOT, processes
from bench.images import BOUNDARY

PORTS = range(9700, 9800)
WORKERS = "2"
THREADS = "32"  # per worker process, for the peers that serve our app
_START_TIMEOUT = 60  # seconds


class ServerError(Exception):
    """A server does not start or does not answer. The message has its name and its output."""


@dataclass(frozen=True)
class Server:
    """`command` is run from `environment`; "{port}" in it is replaced. `same_app`: it serves app/, not a peer's app."""

    name: str
    title: str
    environment: Path
    command: tuple[str, ...]
    same_app: bool = False


def _gunicorn(*arguments: str) -> tuple[str, ...]:
    # -c: gunicorn would otherwise read our gunicorn.conf.py.
    common = ("-c", "/dev/null", "-w", WORKERS, "-b", "127.0.0.1:{port}", "--no-control-socket")
    return ("gunicorn", *common, *arguments)


OURS = Server("quintet", "Quintet", ROOT / ".venv", ("gunicorn",), same_app=True)
PEERS = (
    Server(
        "gthread",
        "Quintet's app, gunicorn gthread",
        ROOT / ".venv",
        _gunicorn("-k", "gthread", "--threads", THREADS, "app.wsgi:app"),
        same_app=True,
    ),
    Server(
        "granian",
        "Quintet's app, Granian",
        CACHE / "granian",
        (
            *("granian", "--interface", "wsgi", "--workers", WORKERS, "--blocking-threads", THREADS),
            *("--port", "{port}", "--log-level", "warning", "app.wsgi:app"),
        ),
        same_app=True,
    ),
    Server(
        "waitress",
        "Quintet's app, waitress",
        CACHE / "waitress",
        ("python", "bench/peers/waitress/serve.py", "{port}", WORKERS, THREADS),
        same_app=True,
    ),
    Server(
        "fastapi",
        "FastAPI, uvicorn, LiteRT",
        CACHE / "fastapi",
        ("uvicorn", "--workers", WORKERS, "--port", "{port}", "--log-level", "warning", "bench.peers.fastapi.app:app"),
    ),
    # In the same environment as ours: only the handler and the worker class differ.
    Server("flask-sync", "Flask, gunicorn sync, LiteRT", ROOT / ".venv", _gunicorn("bench.peers.flask_sync.app:app")),
    Server("litserve", "LitServe, LiteRT", CACHE / "litserve", ("python", "-m", "bench.peers.litserve.app")),
    Server("flask-keras", "Flask, Keras predict", ROOT / ".venv-train", _gunicorn("bench.peers.flask_keras.app:app")),
)


@dataclass
class Running:
    """A started server. `first_answer`: seconds from the start of the process to the first answered request."""

    process: subprocess.Popen[bytes]
    port: int
    first_answer: float

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/predict"


def environments(servers: Iterable[Server]) -> None:
    """Install the peers' environments that are missing or whose pinned requirements have changed."""
    for folder in sorted({server.environment for server in servers} - {ROOT / ".venv", ROOT / ".venv-train"}):
        pinned = ROOT / "bench" / "peers" / folder.name / "requirements.txt"
        ready = folder / "ready"
        if ready.is_file() and ready.read_bytes() == pinned.read_bytes():
            continue
        print(f"Installing {folder.name} into {folder.relative_to(ROOT)} ...", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        install = ["-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--require-hashes"]
        subprocess.run([folder / "bin/python", *install, "-r", pinned], check=True)
        ready.write_bytes(pinned.read_bytes())


@contextmanager
def running(server: Server, body: bytes, **settings: str | Path | int) -> Iterator[Running]:
    """Start `server` with `settings` as environment variables; yield it once it answers the upload `body` with 200.

    It listens on a free port of this machine, and is stopped when the block ends. Raises ServerError.
    """
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
            _wait_until_ready(process, port, body)
            yield Running(process, port, time.perf_counter() - started)
        except (ServerError, OSError) as error:
            output.seek(0)
            printed = output.read()[-2000:].decode(errors="replace").strip()
            raise ServerError(f"{server.title}: {error}\n{printed}") from error
        finally:
            if process.poll() is None:
                processes.stop(process.pid)
            process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, body: bytes) -> None:
    status = None
    until = time.monotonic() + _START_TIMEOUT
    while time.monotonic() < until:
        try:
            status, _ = post(port, body)
        except OSError:
            if process.poll() is not None:
                raise ServerError(f"the process exited with status {process.returncode}") from None
        if status == 200:
            return
        time.sleep(0.002)
    raise ServerError(f"no answer with status 200 within {_START_TIMEOUT} s; last status: {status}")


def post(port: int, body: bytes, timeout: float = 30) -> tuple[int, bytes]:
    """Send one upload to /predict over a new connection; return status and body. Raises OSError."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        connection.request("POST", "/predict", body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    except http.client.HTTPException as error:
        raise ConnectionError(f"incomplete answer: {error!r}") from error
    finally:
        connection.close()


def free_port() -> int:
    """The first port of PORTS on which no process listens."""
    for port in PORTS:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ServerError(f"no free port from {PORTS[0]} to {PORTS[-1]}")
