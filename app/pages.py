"""The page: a form that works without JavaScript, and the sample pictures to try it with."""

import base64
import hashlib
import io
import re
from functools import cache
from pathlib import Path

from flask import Blueprint, Response, current_app, render_template, request, send_from_directory

from app import api, images, predictions, problems, uploads

blueprint = Blueprint("pages", __name__)

_ASSETS = Path(__file__).parent / "assets"
_PREVIEW = 640  # pixels of the longer side


@blueprint.get("/")
def index() -> str:
    return _page()


@blueprint.post("/")
def classify() -> tuple[str, int, dict[str, str]]:
    """The answer to the form of a browser without JavaScript: the same page, with the results or the error."""
    classifier, config = current_app.extensions["classifier"], current_app.extensions["config"]
    try:
        sent = _chosen_sample() if _is_sample_form() else uploads.read(request, config)
        body = predictions.predict_all(
            classifier, sent, classifier.default_top, classifier.explains, config.max_pixels, api.waited(request)
        )
        for upload, entry in zip(sent, body["predictions"], strict=True):
            if "error" not in entry:
                # Decoding needs a permit wherever it happens: that bounds memory.
                with classifier.acquire(predictions.NEXT_WAIT):
                    entry["preview"] = _preview(upload.content, config.max_pixels)
    except Exception as error:  # every error is shown on the page, as problems.py says it
        problem = problems.to_problem(error)
        return _page(error=problem.detail), problem.status, {**problem.headers, "Content-Type": "text/html"}
    return _page(predictions=body["predictions"]), 200, {}


@blueprint.get("/samples/<name>")
def sample(name: str) -> Response:
    path = _sample_path(name)
    return send_from_directory(path.parent, path.name, max_age=3600)


@blueprint.app_template_filter()
def percent(probability: float) -> str:
    """A probability as people read it. One decimal place may hide a doubt, but never rounds it to certainty."""
    if probability < 0.001:
        return "<0.1\u202f%"
    if probability > 0.999:
        return ">99.9\u202f%"
    return f"{probability * 100:.1f}\u202f%"


@blueprint.app_template_filter()
@cache
def asset(name: str) -> str:
    """The address of a file in assets/. It changes with the content, so that no browser mixes old and new ones."""
    return f"assets/{name}?{hashlib.sha256((_ASSETS / name).read_bytes()).hexdigest()[:8]}"


def _page(**answer: object) -> str:
    classifier, config = current_app.extensions["classifier"], current_app.extensions["config"]
    return render_template(
        "index.html",
        bundle=classifier.bundle,
        explains=classifier.explains,
        samples=_samples(),
        max_upload_mb=config.max_upload_mb,
        max_images=config.max_images,
        **answer,
    )


def _samples() -> dict[str, str]:
    """The bundle's sample pictures: file name to true label."""
    samples = current_app.extensions["classifier"].bundle.samples
    return {
        match[1]: one["label"] or match[1]
        for one in samples
        if (match := re.fullmatch(r"samples/([^/]+)", one["file"]))
    }


def _sample_path(name: str) -> Path:
    if name not in _samples():
        raise problems.Problem(404, f"there is no sample {name!r}: the page lists those there are")
    return (current_app.extensions["classifier"].bundle.path / "samples" / name).resolve()


def _is_sample_form() -> bool:
    """A sample's button sends only its name; the form for the visitor's own pictures is multipart."""
    return request.mimetype == "application/x-www-form-urlencoded"


def _chosen_sample() -> list[uploads.Upload]:
    name = request.form.get("sample", "")
    return [uploads.Upload(name, _sample_path(name).read_bytes())]


def _preview(data: bytes, max_pixels: int) -> str:
    """The picture as it is shown beside its answer: small, and inside the page, since nothing is kept here."""
    jpeg = io.BytesIO()
    images.preview(data, _PREVIEW, max_pixels).save(jpeg, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.getvalue()).decode()
