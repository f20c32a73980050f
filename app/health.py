"""What the platforms ask: is it alive, is it ready."""

from flask import Blueprint, Response, current_app

blueprint = Blueprint("health", __name__)


@blueprint.get("/health")
def health() -> Response:
    return Response("alive\n", content_type="text/plain; charset=utf-8")


@blueprint.get("/ready")
@blueprint.get("/_ah/warmup")  # App Engine's warm-up request
def ready() -> Response:
    """The app exists only once its bundle is verified and has passed its self-test, so being asked is being ready."""
    bundle = current_app.extensions["classifier"].bundle
    return Response(f"ready: {bundle.name} {bundle.version}\n", content_type="text/plain; charset=utf-8")
