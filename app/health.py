"""The endpoints that the platforms probe: is the process alive, and is it ready for requests."""

from flask import Blueprint, Response, current_app

blueprint = Blueprint("health", __name__)


@blueprint.get("/health")
def health() -> Response:
    return Response("alive\n", content_type="text/plain; charset=utf-8")


@blueprint.get("/ready")
@blueprint.get("/_ah/warmup")  # App Engine's warm-up request
def ready() -> Response:
    """Always 200: the app only exists once its bundle has been verified and has passed its self-test."""
    bundle = current_app.extensions["classifier"].bundle
    return Response(f"ready: {bundle.name} {bundle.version}\n", content_type="text/plain; charset=utf-8")
