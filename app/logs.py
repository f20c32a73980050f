"""One line a request, as text for people or as JSON that Google Cloud Logging understands."""

import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

_SEVERITIES = {logging.WARNING: "WARNING", logging.ERROR: "ERROR", logging.CRITICAL: "CRITICAL", logging.DEBUG: "DEBUG"}
_TRACE_CONTEXT = re.compile(r"([0-9a-f]{32})(?:/(\d+))?(?:;o=(\d))?")  # X-Cloud-Trace-Context: TRACE/SPAN;o=1
_TRACE_PARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")  # W3C traceparent
_PROJECT = os.environ.get("GOOGLE_CLOUD_PROJECT", "")


class JsonFormatter(logging.Formatter):
    """One JSON object a line, with the fields that Cloud Logging lifts out of it."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if record.exc_info:
            message += "\n" + self.formatException(record.exc_info)
        entry = {
            "severity": _SEVERITIES.get(record.levelno, "INFO"),
            "message": message,
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "logger": record.name,
        }
        return json.dumps(entry, ensure_ascii=False)


def configure(level: str, form: str) -> None:
    """Send every log of this process to stdout, in `form` "text" or "json"."""
    handler = logging.StreamHandler(sys.stdout)
    text = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S")
    handler.setFormatter(JsonFormatter() if form == "json" else text)
    for name in (None, "gunicorn.error"):  # gunicorn's own lines too, so that JSON logs are JSON throughout
        logger = logging.getLogger(name)
        logger.handlers = [handler] if name is None else []
        logger.propagate = True
    logging.getLogger().setLevel(level.upper())


def access_log(application: Callable, level: str, form: str) -> Callable:
    """The WSGI application that also writes one line for each answer, unless `level` is warning or error."""
    if level in ("warning", "error"):
        return application
    line = _json_line if form == "json" else _text_line

    def logged(environ: dict, start_response: Callable) -> Iterable[bytes]:
        started = time.perf_counter()

        def write(status: str, headers: list[tuple[str, str]], *error: object) -> Callable:
            # Straight to stdout: through logging it was a fifth of all that is done for a small picture's request
            # beside decoding and inference. One write, so that lines of several workers do not mix.
            text = line(environ, status[:3], headers, time.perf_counter() - started)
            os.write(1, text.encode("utf-8", "replace"))
            return start_response(status, headers, *error)

        return application(environ, write)

    return logged


def _text_line(environ: dict, status: str, _headers: list[tuple[str, str]], seconds: float) -> str:
    return f"{time.strftime('%H:%M:%S')} INFO {_what(environ)} {status} {seconds * 1e3:.1f} ms\n"


def _json_line(environ: dict, status: str, headers: list[tuple[str, str]], seconds: float) -> str:
    entry = {
        "severity": "INFO",
        "message": f"{_what(environ)} {status} {seconds * 1e3:.1f} ms",
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "httpRequest": {
            "requestMethod": environ["REQUEST_METHOD"],
            "requestUrl": environ.get("PATH_INFO", ""),
            "status": int(status),
            "responseSize": next((value for name, value in headers if name == "Content-Length"), "0"),
            "userAgent": environ.get("HTTP_USER_AGENT", "")[:200],
            "latency": f"{seconds:.6f}s",
        },
        **_trace(environ),
    }
    return json.dumps(entry) + "\n"


def _what(environ: dict) -> str:
    """Method and path: without line breaks of a client's making, and without the query, which may hold secrets."""
    path = environ.get("PATH_INFO", "")[:200]
    return f"{environ['REQUEST_METHOD']} {path if path.isprintable() else ascii(path)}"


def _trace(environ: dict) -> dict[str, object]:
    """Ties the line to the request's trace, where Google's front end has sent one and the project is known."""
    if not _PROJECT:
        return {}
    if match := _TRACE_CONTEXT.match(environ.get("HTTP_X_CLOUD_TRACE_CONTEXT", "")):
        trace, span, sampled = match[1], match[2] and f"{int(match[2]):016x}", match[3] == "1"
    elif match := _TRACE_PARENT.match(environ.get("HTTP_TRACEPARENT", "")):
        trace, span, sampled = match[1], match[2], int(match[3], 16) & 1 == 1
    else:
        return {}
    fields = {
        "logging.googleapis.com/trace": f"projects/{_PROJECT}/traces/{trace}",
        "logging.googleapis.com/trace_sampled": sampled,
    }
    return {**fields, "logging.googleapis.com/spanId": span} if span else fields
