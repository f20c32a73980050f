"""The page: a form that works without JavaScript, and the bundle's samples to try."""

import base64
import hashlib
import io
import re
from functools import cache
from pathlib import Path

from flask import Blueprint, Response, current_app, render_template, request, send_from_directory

from app import api, image_formats, images, predictions, problems, uploads

blueprint = Blueprint("pages", __name__)

_ASSETS = Path(__file__).parent / "assets"
_PREVIEW_SIDE = 640  # pixels of the longer side


@blueprint.get("/")
def index() -> str:
    return _page()


@blueprint.post("/")
def classify() -> tuple[str, int, dict[str, str]]:
    """Answer the form of a browser without JavaScript: the same page, with the results or the error."""
    classifier, config = current_app.extensions["classifier"], current_app.extensions["config"]
    try:
        sent = _chosen_sample() if _is_sample_form() else uploads.read(request, config)
        top, explain = classifier.default_top, classifier.explains
        body = predictions.predict_all(classifier, sent, top, explain, config.max_pixels, api.queue_seconds())
        for upload, entry in zip(sent, body["predictions"], strict=True):
            if isinstance(upload.content, bytes) and "error" not in entry:
                # Images are decoded only while a network is held, which limits the memory.
                with classifier.acquire(predictions.NEXT_TIMEOUT):
                    entry["preview"] = _preview(upload.content, config.max_pixels)
    except Exception as error:  # the page shows the error that /predict would return
        problem = problems.to_problem(error)
        return _page(error=problem.detail), problem.status, {**problem.headers, "Content-Type": "text/html"}
    return _page(predictions=body["predictions"]), 200, {}


@blueprint.get("/samples/<name>")
def sample(name: str) -> Response:
    """A sample image of the bundle."""
    path = _sample_path(name)
    return send_from_directory(path.parent, path.name, max_age=3600)


@blueprint.app_template_filter()
def percent(probability: float) -> str:
    """A probability as a percentage with one decimal place, never rounded to 0 % or 100 %."""
    if probability < 0.001:
        return "<0.1\u202f%"
    if probability > 0.999:
        return ">99.9\u202f%"
    return f"{probability * 100:.1f}\u202f%"


@blueprint.app_template_filter()
@cache
def asset(name: str) -> str:
    """The URL of a file in assets/, with a part of its digest: after an update, browsers load the new file."""
    return f"assets/{name}?{hashlib.sha256((_ASSETS / name).read_bytes()).hexdigest()[:8]}"


def _page(**answer: object) -> str:
    classifier, config = current_app.extensions["classifier"], current_app.extensions["config"]
    return render_template(
        "index.html",
        bundle=classifier.bundle,
        explains=classifier.explains,
        samples=_samples(),
        format_names=image_formats.NAMES,
        media_types=image_formats.MEDIA_TYPES,
        max_upload_mb=config.max_upload_mb,
        max_images=config.max_images,
        **answer,
    )


def _samples() -> dict[str, str]:
    """The bundle's samples: file name to true label, or to the file name if the label is unknown."""
    return {
        match[1]: sample["label"] or match[1]
        for sample in current_app.extensions["classifier"].bundle.samples
        if (match := re.fullmatch(r"samples/([^/]+)", sample["file"]))
    }


def _sample_path(name: str) -> Path:
    if name not in _samples():
        raise problems.Problem(404, f"Not found: there is no sample {name!r}; the page lists the samples")
    return (current_app.extensions["classifier"].bundle.path / "samples" / name).resolve()


def _is_sample_form() -> bool:
    """Whether the visitor clicked a sample. Its button sends only a name; the form for uploads is multipart."""
    return request.mimetype == "application/x-www-form-urlencoded"


def _chosen_sample() -> list[uploads.Upload]:
    name = request.form.get("sample", "")
    return [uploads.Upload(name, _sample_path(name).read_bytes())]


def _preview(data: bytes, max_pixels: int) -> str:
    """A small copy of the image as a data URL: the server stores no image that the page could load."""
    jpeg = io.BytesIO()
    images.preview(data, _PREVIEW_SIDE, max_pixels).save(jpeg, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.getvalue()).decode()
