"""POST /predict and GET /model. A request goes: uploads.read -> predictions.predict_all -> JSON."""

import json

from flask import Blueprint, Request, Response, current_app, request

from app import predictions, uploads
from app.problems import Problem

blueprint = Blueprint("api", __name__)

_ENCODE = json.JSONEncoder(ensure_ascii=False).encode


@blueprint.post("/predict")
def predict() -> Response:
    # The request itself: every look through Flask's proxy costs a microsecond or two, and there are twenty below.
    sent, extensions = request._get_current_object(), current_app.extensions
    classifier, config = extensions["classifier"], extensions["config"]
    top = _number(sent, "top", classifier.default_top, 1, len(classifier.bundle.labels))
    explain = bool(_number(sent, "explain", 0, 0, 1))
    if explain and not classifier.explains:
        raise Problem(400, f"the model {classifier.bundle.name} has no heatmap: leave explain out")
    pictures = uploads.read(sent, config)
    return _json(predictions.predict_all(classifier, pictures, top, explain, config.max_pixels, waited(sent)))


@blueprint.get("/model")
def model() -> Response:
    return _json(current_app.extensions["classifier"].bundle.card)


def waited(sent: Request) -> float:
    """Seconds that the request was in line, which our worker says and other servers do not."""
    return sent.environ.get("quintet.queue_seconds", 0)


def _number(sent: Request, name: str, default: int, low: int, high: int) -> int:
    text = sent.args.get(name, "") if sent.query_string else ""
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not low <= int(text) <= high:
        raise Problem(400, f"{name} is {text[:40]!r}; it must be a whole number from {low} to {high}")
    return int(text)


def _json(body: dict) -> Response:
    return Response(_ENCODE(body) + "\n", content_type="application/json")
