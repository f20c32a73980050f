"""gunicorn's settings. `gunicorn` without arguments reads this file if it is started in this folder."""

import os
import socket
import sys
from pathlib import Path

from gunicorn.arbiter import Arbiter

from app.config import ConfigError, from_environment
from app.worker import Worker, load_table


def _stop(message: str) -> None:
    print(f"quintet: {message}", file=sys.stderr)
    sys.exit(2)


try:
    settings = from_environment()
except ConfigError as error:
    _stop(str(error))

wsgi_app = "app.wsgi:app"
bind = f"0.0.0.0:{settings.port}"
workers = settings.web_concurrency  # one process for each granted CPU: decoding and inference are CPU-bound
worker_class = "app.worker.Worker"
threads = 16  # uploads that are answered at once, at most; usually one: others run while an image takes long
preload_app = True  # load and check the bundle once, before the port is bound; workers share its memory
# Google's load balancers keep connections to a backend for 600 s. A backend that closes first causes 502 answers.
keepalive = 650
timeout = 60  # heartbeat of a worker, not of a request
graceful_timeout = 8  # Cloud Run kills 10 s after SIGTERM
if Path("/dev/shm").is_dir():  # noqa: S108 - macOS has none
    worker_tmp_dir = "/dev/shm"  # noqa: S108 - heartbeats need a writable folder: the root is read-only, and disks stall
control_socket_disable = True  # it needs a writable HOME
accesslog = None  # app/logs.py writes one line for each request, with the trace
errorlog = "-"
loglevel = settings.log_level


def on_starting(_server: Arbiter) -> None:
    """Report in one line that the port is in use; gunicorn would retry for five seconds, and then print a traceback."""
    if "GUNICORN_FD" in os.environ:  # after SIGUSR2: the old master hands its listening socket over
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", settings.port))  # noqa: S104 - the same address as gunicorn's
        except OSError as error:
            _stop(f"PORT {settings.port} cannot be used ({error.strerror}): choose another one, PORT=9000 make run")


def child_exit(_server: Arbiter, worker: Worker) -> None:
    """Remove a dead worker's entry, so that the others leave no connections to it."""
    load_table.remove(worker.age)


def when_ready(server: Arbiter) -> None:
    server.log.info("Quintet serves %s on http://localhost:%d", settings.model, settings.port)
