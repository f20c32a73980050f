"""gunicorn's settings, the one place for them; `gunicorn` alone, started in this folder, reads this file."""

import socket
import sys
from pathlib import Path

from gunicorn.arbiter import Arbiter

from app.config import ConfigError, from_environment
from app.worker import Worker, census


def _stop(message: str) -> None:
    print(f"quintet: {message}", file=sys.stderr)
    sys.exit(2)


try:
    settings = from_environment()
except ConfigError as error:
    _stop(str(error))

wsgi_app = "app.wsgi:app"
bind = f"0.0.0.0:{settings.port}"
workers = settings.web_concurrency  # one process a granted CPU: decoding and inference are CPU-bound
worker_class = "app.worker.Worker"
threads = 32  # at most, and one at most times: others are there for the time that a picture takes long
preload_app = True  # load and check the bundle once, before the port is bound; workers share its memory
keepalive = 75  # longer than a load balancer keeps its idle connections, so that it never meets a closed one
timeout = 60  # heartbeat of a worker, not of a request
graceful_timeout = 8  # Cloud Run kills 10 s after SIGTERM
if Path("/dev/shm").is_dir():  # noqa: S108 - macOS has none
    worker_tmp_dir = "/dev/shm"  # noqa: S108 - heartbeats need a writable place: the root is read-only, and disks stall
control_socket_disable = True  # it would want a writable HOME
accesslog = None  # app/logs.py writes one line a request, with the trace
errorlog = "-"
loglevel = settings.log_level


def on_starting(_server: Arbiter) -> None:
    """Say in one line that the port is taken; gunicorn would retry for five seconds and then say it at length."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", settings.port))  # noqa: S104 - the same address as gunicorn's
        except OSError as error:
            _stop(f"PORT {settings.port} cannot be used ({error.strerror}): choose another one, PORT=9000 make run")


def child_exit(_server: Arbiter, worker: Worker) -> None:
    """Whatever a worker has died of, the others need not leave connections to it any more."""
    census.leave(worker.age)


def when_ready(server: Arbiter) -> None:
    server.log.info("Quintet serves %s on http://localhost:%d", settings.model, settings.port)
