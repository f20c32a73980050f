"""The entry point of the Cloud Run function: a function that takes a request and returns a response."""

from flask import Request
from werkzeug import Response

from app.wsgi import app


def quintet(request: Request) -> Response:
    """Answer every path and method with the app's response."""
    return Response.from_app(app, request.environ)
