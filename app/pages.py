"""The page: a form that works without JavaScript, and the sample pictures to try it with."""

import base64
import io
import re

from flask import Blueprint, Response, current_app, render_template, request, send_from_directory

from app import api, images, problems, uploads

blueprint = Blueprint("pages", __name__)

_PREVIEW = 640  # pixels of the longer side


@blueprint.get("/")
def index() -> str:
    return _page()


@blueprint.post("/")
def classify() -> tuple[str, int, dict[str, str]]:
    """The answer to the form of a browser without JavaScript: the same page, with the results or the error."""
    classifier, config = current_app.extensions["classifier"], current_app.extensions["config"]
    try:
        sent = uploads.read(request, config.max_images)
        body = api.answer(sent, min(5, len(classifier.bundle.labels)), explain=classifier.explains)
    except Exception as error:  # every error is shown on the page, as problems.py says it
        problem = problems.of(error)
        return _page(error=problem.detail), problem.status, {**problem.headers, "Content-Type": "text/html"}
    for upload, entry in zip(sent, body["predictions"], strict=True):
        if "error" not in entry:
            entry["preview"] = _preview(upload.content, config.max_pixels)
    return _page(predictions=body["predictions"]), 200, {}


@blueprint.get("/samples/<name>")
def sample(name: str) -> Response:
    bundle = current_app.extensions["classifier"].bundle
    if name not in _sample_names():
        raise problems.Problem(404, f"there is no sample {name!r}: the page lists those there are")
    return send_from_directory((bundle.path / "samples").resolve(), name, max_age=3600)


def _page(**answer: object) -> str:
    classifier, config = current_app.extensions["classifier"], current_app.extensions["config"]
    return render_template(
        "index.html",
        bundle=classifier.bundle,
        explains=classifier.explains,
        samples=_sample_names(),
        max_upload_mb=config.max_upload_mb,
        max_images=config.max_images,
        **answer,
    )


def _sample_names() -> list[str]:
    samples = current_app.extensions["classifier"].bundle.samples
    return [match[1] for sample in samples if (match := re.fullmatch(r"samples/([^/]+)", sample["file"]))]


def _preview(data: bytes, max_pixels: int) -> str:
    """The picture as it is shown beside its answer: small, and inside the page, since nothing is kept here."""
    jpeg = io.BytesIO()
    images.preview(data, _PREVIEW, max_pixels).save(jpeg, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.getvalue()).decode()
