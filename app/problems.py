"""Errors become answers here, and only here: RFC 9457 `application/problem+json`, or the page for a browser's form."""

import json

from flask import Flask, Response, current_app, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.http import HTTP_STATUS_CODES

from app import images
from app.pool import BusyError

_PICTURE_STATUS = {images.UnsupportedImageError: 415, images.ImageTooLargeError: 413, images.CorruptImageError: 422}


class Problem(Exception):
    """A request that cannot be answered: `status`, and `detail`, one line that says what is wrong and what to do."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None):
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers or {}

    def as_json(self) -> dict:
        title = HTTP_STATUS_CODES.get(self.status, "Error")
        return {"type": "about:blank", "title": title, "status": self.status, "detail": self.detail}

    def as_response(self) -> Response:
        body = json.dumps(self.as_json(), ensure_ascii=False) + "\n"
        return Response(body, self.status, self.headers, content_type="application/problem+json")


def to_problem(error: Exception) -> Problem:
    """The problem that an error raised anywhere below stands for."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, images.ImageError):
        return Problem(_PICTURE_STATUS[type(error)], str(error))
    if isinstance(error, BusyError):
        return Problem(503, "the server is busy: try again in a second", {"Retry-After": "1"})
    if isinstance(error, RequestEntityTooLarge):
        limit = current_app.config["MAX_CONTENT_LENGTH"] // 2**20
        return Problem(413, f"the request is larger than {limit} MiB, or has too many parts: send less at once")
    if isinstance(error, HTTPException):
        headers = dict(error.get_headers()) if error.code == 405 else {}
        headers.pop("Content-Type", None)
        return Problem(error.code or 500, _DETAILS.get(error.code, error.description or error.name), headers)
    current_app.logger.error("%s %s failed", request.method, request.path, exc_info=error)
    return Problem(500, "this is our fault, not yours: the server's log says more")


_DETAILS = {
    404: "there is nothing at this address: send pictures to /predict, or open / in a browser",
    405: "this address does not take that method: pictures are sent with POST",
}


def register(app: Flask) -> None:
    def answer(error: Exception) -> Response:
        return to_problem(error).as_response()

    for kind in (Problem, images.ImageError, BusyError, HTTPException, Exception):
        app.register_error_handler(kind, answer)
