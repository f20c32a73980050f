"""gunicorn's settings, the one place for them; `gunicorn` alone, started in this folder, reads this file."""

import socket
import sys
from pathlib import Path

from gunicorn.arbiter import Arbiter
from gunicorn.http import parser
from gunicorn.workers import gthread

from app.config import ConfigError, from_environment


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
threads = settings.threads  # they only hold connections: slow uploads must not take a worker away from the others
worker_class = "app.worker.Worker"
worker_connections = settings.threads * 2  # kept-alive connections that are idle need no thread
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

# What a client still sends after an early answer such as 413 is read and dropped for this many seconds, so that the
# answer reaches it before the connection is closed. gunicorn has no setting for it (its value: 5).
gthread.DEFAULT_WORKER_DATA_TIMEOUT = 2.0
parser._DRAIN_MAX_BYTES = 64 * 2**20  # its own value, 64 KiB, breaks off clients that send all before they listen


def on_starting(_server: Arbiter) -> None:
    """Say in one line that the port is taken; gunicorn would retry for five seconds and then say it at length."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", settings.port))  # noqa: S104 - the same address as gunicorn's
        except OSError as error:
            _stop(f"PORT {settings.port} cannot be used ({error.strerror}): choose another one, PORT=9000 make run")


def when_ready(server: Arbiter) -> None:
    server.log.info("Quintet serves %s on http://localhost:%d", settings.model, settings.port)
