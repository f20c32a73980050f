"""POST /predict and GET /model. A request goes: uploads.read -> images.decode -> classifier.classify -> JSON."""

import base64
import json

import numpy as np
from flask import Blueprint, Response, current_app, request

from app import heatmaps, images, problems, uploads
from app.classifier import Classifier, Network
from app.config import Config
from app.problems import Problem

blueprint = Blueprint("api", __name__)

_ENCODE = json.JSONEncoder(ensure_ascii=False).encode
_FIRST_WAIT = 0.3  # seconds for a permit; longer, and a busy server would answer later than saying no
NEXT_WAIT = 30.0  # for the other pictures of a request that has been let in


@blueprint.post("/predict")
def predict() -> Response:
    classifier = current_app.extensions["classifier"]
    top = _number("top", min(5, len(classifier.bundle.labels)), 1, len(classifier.bundle.labels))
    explain = bool(_number("explain", 0, 0, 1))
    if explain and not classifier.explains:
        raise Problem(400, f"the model {classifier.bundle.name} has no heatmap: leave explain out")
    return _json(answer(uploads.read(request, _config().max_images), top, explain))


@blueprint.get("/model")
def model() -> Response:
    return _json(current_app.extensions["classifier"].bundle.card)


def answer(sent: list[uploads.Upload], top: int, explain: bool) -> dict:
    """Classify the pictures: the body of a 200. Raises the first picture's error where every one is bad."""
    classifier: Classifier = current_app.extensions["classifier"]
    entries, errors = [], []
    for upload in sent:
        try:
            entry = _classify(classifier, upload, top, explain, NEXT_WAIT if entries else _FIRST_WAIT)
        except (Problem, images.PictureError) as error:
            errors.append(error)
            entry = {"filename": upload.filename, "error": problems.of(error).as_json()}
        entries.append(entry)
    if len(errors) == len(entries):
        raise errors[0]
    bundle = classifier.bundle
    return {"model": {"name": bundle.name, "version": bundle.version}, "predictions": entries}


def _classify(classifier: Classifier, upload: uploads.Upload, top: int, explain: bool, wait: float) -> dict:
    if isinstance(upload.content, Problem):
        raise upload.content
    bundle = classifier.bundle
    with classifier.permit(wait) as network:  # decoding needs the permit too: that is what bounds memory
        picture = images.decode(upload.content, bundle.width, bundle.height, bundle.resize, _config().max_pixels)
        probabilities = network.classify(picture.pixels)
        best = np.argsort(-probabilities, kind="stable")[:top]
        heatmap = _heatmap(network, picture, int(best[0]), bundle.resize) if explain else None
    ranking = [
        {"label": bundle.labels[index], "index": index, "probability": round(float(probabilities[index]), 6)}
        for index in best.tolist()
    ]
    entry = {
        "filename": upload.filename,
        "label": ranking[0]["label"],
        "probability": ranking[0]["probability"],
        "top": ranking,
    }
    return {**entry, "heatmap": heatmap} if explain else entry


def _heatmap(network: Network, picture: images.Picture, index: int, resize: str) -> str:
    png = heatmaps.draw(network.explain(picture.pixels, index), picture.size, resize)
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _number(name: str, default: int, low: int, high: int) -> int:
    text = request.args.get(name, "") if request.query_string else ""
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not low <= int(text) <= high:
        raise Problem(400, f"{name} is {text[:40]!r}; it must be a whole number from {low} to {high}")
    return int(text)


def _config() -> Config:
    return current_app.extensions["config"]


def _json(body: dict) -> Response:
    return Response(_ENCODE(body) + "\n", content_type="application/json")
