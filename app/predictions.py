"""Pictures to the body of an answer. A picture goes: images.decode -> Network.classify -> its entry."""

import base64

import numpy as np

from app import heatmaps, images, problems
from app.bundle import Bundle
from app.classifier import Classifier, Network
from app.pool import BusyError
from app.problems import Problem
from app.uploads import Upload

_FIRST_WAIT = 0.3  # seconds for a permit; longer, and a busy server would answer later than saying no
NEXT_WAIT = 30.0  # for the other pictures of a request that has been let in


def predict_all(
    classifier: Classifier, sent: list[Upload], top: int, explain: bool, max_pixels: int, waited: float = 0
) -> dict:
    """The `top` labels of each picture, with a heatmap of the first one if `explain`; one entry each, in their order.

    `waited`: seconds that the request has been in line already. Raises BusyError, and the first error if all
    picture is bad.
    """
    patience = _FIRST_WAIT - waited
    if patience <= 0:
        raise BusyError
    entries, first = [], None
    for upload in sent:
        try:
            entry = _entry(classifier, upload, top, explain, max_pixels, NEXT_WAIT if entries else patience)
        except (Problem, images.ImageError) as error:
            first = first or error
            entry = {"filename": upload.filename, "error": problems.to_problem(error).as_json()}
        entries.append(entry)
    if all("error" in entry for entry in entries):
        try:
            raise first
        finally:
            first = None  # it leads to this frame: each holding the other, both would stay for long, pictures and all
    bundle = classifier.bundle
    return {"model": {"name": bundle.name, "version": bundle.version}, "predictions": entries}


def _entry(classifier: Classifier, upload: Upload, top: int, explain: bool, max_pixels: int, patience: float) -> dict:
    if isinstance(upload.content, Problem):
        raise upload.content
    bundle = classifier.bundle
    with classifier.acquire(patience) as network:  # decoding needs the permit too: that is what bounds memory
        picture = images.decode(upload.content, bundle.width, bundle.height, bundle.resize, max_pixels)
        probabilities = network.classify(picture.pixels)
        ranking = _ranking(bundle, probabilities, top)
        heatmap = _heatmap(network, picture, ranking[0]["index"], bundle.resize) if explain else None
    best = ranking[0]
    entry = {"filename": upload.filename, "label": best["label"], "probability": best["probability"], "top": ranking}
    return {**entry, "heatmap": heatmap} if explain else entry


def _ranking(bundle: Bundle, probabilities: np.ndarray, top: int) -> list[dict]:
    best = np.argsort(-probabilities, kind="stable")[:top]
    return [
        {"label": bundle.labels[index], "index": index, "probability": round(probability, 6)}
        for index, probability in zip(best.tolist(), probabilities[best].tolist(), strict=True)
    ]


def _heatmap(network: Network, picture: images.DecodedImage, index: int, resize: str) -> str:
    png = heatmaps.draw(network.explain(picture.pixels, index), picture.size, resize)
    return "data:image/png;base64," + base64.b64encode(png).decode()
