"""The one place that turns errors into responses: RFC 9457 problems, `application/problem+json`."""

import json

from flask import Flask, Response, current_app, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.http import HTTP_STATUS_CODES

from app import images
from app.pool import BusyError

_IMAGE_ERROR_STATUS = {
    images.UnsupportedImageError: 415,
    images.ImageTooLargeError: 413,
    images.CorruptImageError: 422,
}
_DETAILS = {
    404: "Not found: send images to /predict, or open / in a browser",
    405: "Method not allowed: send images with POST",
}


class Problem(Exception):
    """An error response: `status`, and `detail`, one line that says what is wrong and how to fix it."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None):
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers or {}

    def as_json(self) -> dict[str, object]:
        title = HTTP_STATUS_CODES.get(self.status, "Error")
        return {"type": "about:blank", "title": title, "status": self.status, "detail": self.detail}

    def as_response(self) -> Response:
        body = json.dumps(self.as_json(), ensure_ascii=False) + "\n"
        return Response(body, self.status, self.headers, content_type="application/problem+json")


def to_problem(error: Exception) -> Problem:
    """The problem that describes `error` to the client. An unexpected error is logged and becomes status 500."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, images.ImageError):
        return Problem(_IMAGE_ERROR_STATUS[type(error)], str(error))
    if isinstance(error, BusyError):
        return Problem(503, "the server is busy: try again in a second", {"Retry-After": "1"})
    if isinstance(error, RequestEntityTooLarge):
        limit = current_app.config["MAX_CONTENT_LENGTH"] // 2**20
        return Problem(
            413, f"the request is larger than {limit} MiB, or its form fields are too long: send less at once"
        )
    if isinstance(error, HTTPException):
        status = error.code or 500
        headers = dict(error.get_headers()) if status == 405 else {}  # with Allow
        headers.pop("Content-Type", None)
        return Problem(status, _DETAILS.get(status, error.description or error.name), headers)
    current_app.logger.error("%s %s failed", request.method, request.path, exc_info=error)
    return Problem(500, "Internal server error: the server's log has the details")


def register(app: Flask) -> None:
    """Make every error of the app's views a problem response."""

    def respond(error: Exception) -> Response:
        return to_problem(error).as_response()

    for kind in (Problem, images.ImageError, BusyError, HTTPException, Exception):
        app.register_error_handler(kind, respond)
