"""Metrics of a classifier, and the agreement of its LiteRT export with Keras."""

from typing import Any, NamedTuple

import numpy as np

from training import TrainingError
from training.datasets import Split
from training.litert import load_classifier
from training.progress import progress

MAX_FLOAT32_DIFFERENCE = 1e-4  # largest accepted difference between two probabilities, for a float32 export
MIN_SAME_TOP1 = 0.99  # smallest accepted share of images with the same top class, for any export


class Agreement(NamedTuple):
    """How well two classifiers agree; the card's field `export.agreement`.

    `pictures`: the number of images compared. `same_top1`: share with the same top class, 0-1. `top5_overlap`: mean
    share of common classes in the two top fives, 0-1. `max_difference`: largest difference between two probabilities.
    """

    pictures: int
    same_top1: float
    top5_overlap: float
    max_difference: float


def litert_probabilities(model: bytes, split: Split, description: str = "Testing the exported model") -> np.ndarray:
    """Classify the images one at a time, as the server does; returns float32 (n, labels).

    `model`: the content of `model.tflite`. `description` begins the progress line.
    """
    classify = load_classifier(model)
    indices = progress(range(len(split)), description, "images")
    return np.stack([classify(split.rgb(i, i + 1)) for i in indices])


def compare(expected: np.ndarray, found: np.ndarray) -> Agreement:
    """Compare the probabilities (n, labels) that two classifiers give for the same images."""
    top = min(5, expected.shape[1])
    top_expected, top_found = (np.argsort(-values, axis=1)[:, :top] for values in (expected, found))
    overlap = [len(set(a) & set(b)) / top for a, b in zip(top_expected, top_found, strict=True)]
    same = np.mean(expected.argmax(axis=1) == found.argmax(axis=1))
    return Agreement(len(expected), float(same), float(np.mean(overlap)), float(np.abs(expected - found).max()))


def check_agreement(agreement: Agreement, precision: str) -> None:
    """Raise TrainingError if an export of this `precision` differs too much from the trained Keras network."""
    if precision == "float32" and agreement.max_difference > MAX_FLOAT32_DIFFERENCE:
        raise TrainingError(
            f"the export differs from Keras by {agreement.max_difference:.1e}, more than {MAX_FLOAT32_DIFFERENCE:.0e}; "
            "no bundle was written; please report this as a bug"
        )
    if agreement.same_top1 < MIN_SAME_TOP1:
        raise TrainingError(
            f"the {precision} export has the trained network's top class for only {agreement.same_top1:.1%} of the "
            f"test images, less than {MIN_SAME_TOP1:.0%}; no bundle was written; train longer or on more images"
        )


def confusion_matrix(classes: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Count images by class: int64 (labels, labels), rows are true classes, columns predicted classes.

    `classes`: int64 (n,). `probabilities`: (n, labels); the predicted class is the one with the highest.
    """
    labels = probabilities.shape[1]
    pairs = classes * labels + probabilities.argmax(axis=1)
    return np.bincount(pairs, minlength=labels * labels).reshape(labels, labels)


def evaluate(labels: tuple[str, ...], classes: np.ndarray, probabilities: np.ndarray) -> dict[str, Any]:
    """Return the card's field `metrics`, rounded to four decimals.

    `accuracy` and `top5_accuracy` are shares, 0-1; `loss` is the mean cross-entropy in nats. `per_class` has for each
    label `pictures`, the number of its images, and `precision`, `recall` and `f1`, 0-1; with true positives TP, false
    positives FP and false negatives FN these are TP / (TP + FP), TP / (TP + FN) and 2 TP / (2 TP + FP + FN), and 0 if
    the denominator is 0.
    """
    matrix = confusion_matrix(classes, probabilities)
    of_true_class = probabilities[np.arange(len(classes)), classes]
    rank = (probabilities > of_true_class[:, np.newaxis]).sum(axis=1)
    per_class = {}
    for index, label in enumerate(labels):
        correct, actual, predicted = matrix[index, index], matrix[index].sum(), matrix[:, index].sum()
        per_class[label] = {
            "pictures": int(actual),
            "precision": _ratio(correct, predicted),
            "recall": _ratio(correct, actual),
            "f1": _ratio(2 * correct, actual + predicted),
        }
    return {
        "accuracy": round(float(np.mean(rank == 0)), 4),
        "top5_accuracy": round(float(np.mean(rank < 5)), 4),
        "loss": round(float(-np.log(np.maximum(of_true_class, 1e-7)).mean()), 4),
        "per_class": per_class,
    }


def _ratio(part: int, whole: int) -> float:
    return round(float(part / whole), 4) if whole else 0.0
