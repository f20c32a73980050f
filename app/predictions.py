"""Images to the body of an answer. An image passes images.decode, then Network.classify, then becomes an entry."""

import base64

import numpy as np

from app import heatmaps, images, problems
from app.bundle import Bundle
from app.classifier import Classifier, Network
from app.pool import BusyError
from app.problems import Problem
from app.uploads import Upload

_FIRST_TIMEOUT = 5.0  # seconds in all queues until the first image of a request is begun
NEXT_TIMEOUT = 30.0  # seconds; for the other images of a request, which was accepted


def predict_all(
    classifier: Classifier, sent: list[Upload], top: int, explain: bool, max_pixels: int, queue_seconds: float = 0
) -> dict:
    """The `top` labels of each image, with a heatmap of the first one if `explain`; one entry each, in their order.

    `queue_seconds`: how long the server has queued the request. Raises BusyError, and Problem if no image can be
    classified: that of the first one.
    """
    timeout = _FIRST_TIMEOUT - queue_seconds
    if timeout <= 0:
        raise BusyError
    entries: list[dict] = []
    for upload in sent:
        try:
            entry = _entry(classifier, upload, top, explain, max_pixels, NEXT_TIMEOUT if entries else timeout)
        except (Problem, images.ImageError) as error:
            entry = {"filename": upload.filename, "error": problems.to_problem(error).as_json()}
        entries.append(entry)
    if all("error" in entry for entry in entries):
        first = entries[0]["error"]
        raise Problem(first["status"], first["detail"])
    bundle = classifier.bundle
    return {"model": {"name": bundle.name, "version": bundle.version}, "predictions": entries}


def _entry(classifier: Classifier, upload: Upload, top: int, explain: bool, max_pixels: int, timeout: float) -> dict:
    if isinstance(upload.content, Problem):
        raise upload.content
    bundle = classifier.bundle
    with classifier.acquire(timeout) as network:  # decoding needs the network too: that bounds memory
        image = images.decode(upload.content, bundle.width, bundle.height, bundle.resize, max_pixels)
        probabilities = network.classify(image.pixels)
        ranking = _ranking(bundle, probabilities, top)
        heatmap = _heatmap(network, image, ranking[0]["index"], bundle.resize) if explain else None
    best = ranking[0]
    entry = {"filename": upload.filename, "label": best["label"], "probability": best["probability"], "top": ranking}
    return {**entry, "heatmap": heatmap} if explain else entry


def _ranking(bundle: Bundle, probabilities: np.ndarray, top: int) -> list[dict]:
    best = np.argsort(-probabilities, kind="stable")[:top]
    return [
        {"label": bundle.labels[index], "index": index, "probability": round(probability, 6)}
        for index, probability in zip(best.tolist(), probabilities[best].tolist(), strict=True)
    ]


def _heatmap(network: Network, image: images.DecodedImage, index: int, resize: str) -> str:
    png = heatmaps.draw(network.explain(image.pixels, index), image.size, resize)
    return "data:image/png;base64," + base64.b64encode(png).decode()
