"""Logging: one line for each request, as text for people or as JSON for Google Cloud Logging."""

import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_MAX_PATH = 200  # characters of the path in a log line
_SEVERITIES = {logging.WARNING: "WARNING", logging.ERROR: "ERROR", logging.CRITICAL: "CRITICAL", logging.DEBUG: "DEBUG"}
_TRACE_CONTEXT = re.compile(r"([0-9a-f]{32})(?:/(\d+))?(?:;o=(\d))?")  # X-Cloud-Trace-Context: TRACE/SPAN;o=1
_TRACE_PARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")  # W3C traceparent
_PROJECT = os.environ.get("GOOGLE_CLOUD_PROJECT", "")


class JsonFormatter(logging.Formatter):
    """One JSON object a line, with the fields that Cloud Logging understands."""

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


def configure(level: str, log_format: str) -> None:
    """Send all logs of this process to stdout. `log_format` is "text" or "json"."""
    handler = logging.StreamHandler(sys.stdout)
    text = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S")
    handler.setFormatter(JsonFormatter() if log_format == "json" else text)
    root, gunicorn = logging.getLogger(), logging.getLogger("gunicorn.error")
    root.handlers, gunicorn.handlers = [handler], []  # gunicorn's own lines get the same format
    gunicorn.propagate = True
    root.setLevel(level.upper())


def access_log(application: WSGIApplication, level: str, log_format: str) -> WSGIApplication:
    """Middleware that logs one line for each response, unless `level` is "warning" or "error"."""
    if level in ("warning", "error"):
        return application
    format_line = _json_line if log_format == "json" else _text_line

    def logged(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        started = time.perf_counter()

        def log_and_start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Callable[[bytes], object]:
            line = format_line(environ, status[:3], headers, time.perf_counter() - started)
            # Written to stdout directly: the logging module took a fifth of the time that a request with a small image
            # spends outside decoding and inference. One write, so that lines of several workers do not mix.
            os.write(1, line.encode("utf-8", "replace"))
            return start_response(status, headers, *exc_info)

        return application(environ, log_and_start)

    return logged


def _text_line(environ: WSGIEnvironment, status: str, _headers: list[tuple[str, str]], seconds: float) -> str:
    return f"{time.strftime('%H:%M:%S')} INFO {_method_and_path(environ)} {status} {seconds * 1e3:.1f} ms\n"


def _json_line(environ: WSGIEnvironment, status: str, headers: list[tuple[str, str]], seconds: float) -> str:
    entry = {
        "severity": "INFO",
        "message": f"{_method_and_path(environ)} {status} {seconds * 1e3:.1f} ms",
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "httpRequest": {
            "requestMethod": environ["REQUEST_METHOD"],
            "requestUrl": environ.get("PATH_INFO", "")[:_MAX_PATH],
            "status": int(status),
            "responseSize": next((value for name, value in headers if name == "Content-Length"), "0"),
            "userAgent": environ.get("HTTP_USER_AGENT", "")[:200],
            "latency": f"{seconds:.6f}s",
        },
        **_trace(environ),
    }
    return json.dumps(entry) + "\n"


def _method_and_path(environ: WSGIEnvironment) -> str:
    """Method and path, with control characters escaped, and without the query, which may hold secrets."""
    path = environ.get("PATH_INFO", "")[:_MAX_PATH]
    return f"{environ['REQUEST_METHOD']} {path if path.isprintable() else ascii(path)}"


def _trace(environ: WSGIEnvironment) -> dict[str, object]:
    """The fields that assign the line to the request's trace; none if the project or the trace is unknown."""
    if not _PROJECT:
        return {}
    span: str | None
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
