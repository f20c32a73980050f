"""The whole app behind one entry point, as Cloud Run functions wants it: a function from a request to a response."""

from flask import Request, Response

from app.wsgi import app


def quintet(request: Request) -> Response:
    """Answer every path and method with the app's own answer."""
    return Response.from_app(app, request.environ)
