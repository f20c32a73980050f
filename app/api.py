"""POST /predict and GET /model. A request passes uploads.read, then predictions.predict_all."""

import json
from collections.abc import Mapping

from flask import Blueprint, Response, current_app, request

from app import predictions, uploads
from app.problems import Problem

blueprint = Blueprint("api", __name__)

_encode = json.JSONEncoder(ensure_ascii=False).encode


@blueprint.post("/predict")
def predict() -> Response:
    """Classify the images of the request. README.md documents the request and the response."""
    classifier, config = current_app.extensions["classifier"], current_app.extensions["config"]
    parameters = request.args if request.query_string else {}  # Flask takes 15 us to parse an empty query string
    top = _number(parameters, "top", classifier.default_top, 1, len(classifier.bundle.labels))
    explain = bool(_number(parameters, "explain", 0, 0, 1))
    if explain and not classifier.explains:
        raise Problem(400, f"the model {classifier.bundle.name} has no heatmap: omit explain")
    images = uploads.read(request, config)
    return _json(predictions.predict_all(classifier, images, top, explain, config.max_pixels, queue_seconds()))


@blueprint.get("/model")
def model() -> Response:
    """The model's card: the bundle's model.json."""
    return _json(current_app.extensions["classifier"].bundle.card)


def queue_seconds() -> float:
    """Seconds for which the server has queued the request. Only app/worker reports them; on other servers it is 0."""
    return request.environ.get("quintet.queue_seconds", 0)


def _number(parameters: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    """The parameter `name` as a number. Raises Problem 400 unless it is a whole number from `low` to `high`."""
    text = parameters.get(name, "")
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not low <= int(text) <= high:
        raise Problem(400, f"invalid {name} {text[:40]!r}: expected a whole number from {low} to {high}")
    return int(text)


def _json(body: dict) -> Response:
    return Response(_encode(body) + "\n", content_type="application/json")
