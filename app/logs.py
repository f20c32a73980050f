"""One line a request, as text for people or as JSON that Google Cloud Logging understands."""

import json
import logging
import os
import re
import sys
import time
from datetime import UTC, datetime

from flask import Flask, Response, g, request

_SEVERITIES = {logging.WARNING: "WARNING", logging.ERROR: "ERROR", logging.CRITICAL: "CRITICAL", logging.DEBUG: "DEBUG"}
_TRACE_CONTEXT = re.compile(r"([0-9a-f]{32})(?:/(\d+))?(?:;o=(\d))?")  # X-Cloud-Trace-Context: TRACE/SPAN;o=1
_TRACE_PARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")  # W3C traceparent

_requests = logging.getLogger("quintet.requests")


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
            **getattr(record, "fields", {}),
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


def register(app: Flask) -> None:
    project = os.environ.get("GOOGLE_CLOUD_PROJECT", "")

    @app.before_request
    def start() -> None:
        g.started = time.perf_counter()

    @app.after_request
    def log(response: Response) -> Response:
        if not _requests.isEnabledFor(logging.INFO):
            return response
        seconds = time.perf_counter() - g.started
        size = response.content_length or 0
        # The path only: a query string may hold what its sender would not want in a log.
        fields = {
            "httpRequest": {
                "requestMethod": request.method,
                "requestUrl": request.path,
                "status": response.status_code,
                "responseSize": str(size),
                "userAgent": request.user_agent.string[:200],
                "latency": f"{seconds:.6f}s",
            },
            **_trace(project),
        }
        path = request.path[:200].encode("unicode_escape").decode()  # no line breaks of a client's making in the log
        _requests.info(
            "%s %s %d %.1f ms", request.method, path, response.status_code, seconds * 1e3, extra={"fields": fields}
        )
        return response


def _trace(project: str) -> dict[str, object]:
    """Ties the line to the request's trace, where Google's front end has sent one and the project is known."""
    if not project:
        return {}
    if match := _TRACE_CONTEXT.match(request.headers.get("X-Cloud-Trace-Context", "")):
        trace, span, sampled = match[1], match[2] and f"{int(match[2]):016x}", match[3] == "1"
    elif match := _TRACE_PARENT.match(request.headers.get("traceparent", "")):
        trace, span, sampled = match[1], match[2], int(match[3], 16) & 1 == 1
    else:
        return {}
    fields = {
        "logging.googleapis.com/trace": f"projects/{project}/traces/{trace}",
        "logging.googleapis.com/trace_sampled": sampled,
    }
    return {**fields, "logging.googleapis.com/spanId": span} if span else fields
