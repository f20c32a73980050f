"""How good a model is, and how well its LiteRT export agrees with Keras."""

from typing import NamedTuple

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from training import TrainingError
from training.datasets import Split
from training.progress import progress

FLOAT_TOLERANCE = 1e-4  # largest difference of a probability that a float32 export may show
SAME_ANSWER = 0.99  # share of pictures with the same top class that any export must reach


class Agreement(NamedTuple):
    """`same_top1` and `top5_overlap`: shares, 0-1. `max_difference`: of any probability."""

    pictures: int
    same_top1: float
    top5_overlap: float
    max_difference: float


def litert_probabilities(model: bytes, pictures: Split, what: str = "Testing the export,") -> np.ndarray:
    """Classify the pictures one by one as serving does: float32 (n, labels)."""
    classify = Interpreter(model_content=model, num_threads=1).get_signature_runner("serving_default")
    indices = progress(range(len(pictures)), what, "pictures")
    return np.stack([classify(image=pictures.rgb(i, i + 1))["probabilities"][0] for i in indices])


def agreement(expected: np.ndarray, found: np.ndarray) -> Agreement:
    """Compare two sets of probabilities (n, labels) of the same pictures."""
    best = min(5, expected.shape[1])
    top_expected, top_found = (np.argsort(-values, axis=1)[:, :best] for values in (expected, found))
    overlap = [len(set(a) & set(b)) / best for a, b in zip(top_expected, top_found, strict=True)]
    same = np.mean(expected.argmax(axis=1) == found.argmax(axis=1))
    return Agreement(len(expected), float(same), float(np.mean(overlap)), float(np.abs(expected - found).max()))


def check(agreement: Agreement, precision: str) -> None:
    """Refuse an export that answers differently from the trained network."""
    if precision == "float32" and agreement.max_difference > FLOAT_TOLERANCE:
        raise TrainingError(
            f"the export differs from Keras by {agreement.max_difference:.1e}, more than {FLOAT_TOLERANCE:.0e}: "
            "the old bundle was kept; please report this"
        )
    if agreement.same_top1 < SAME_ANSWER:
        raise TrainingError(
            f"the {precision} export gives the trained network's answer for only {agreement.same_top1:.1%} of the test "
            f"pictures, less than {SAME_ANSWER:.0%}: the old bundle was kept; train longer or on more pictures"
        )


def confusion(classes: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Count test pictures: int64 (labels, labels), rows are the true class, columns the predicted one."""
    labels = probabilities.shape[1]
    pairs = classes * labels + probabilities.argmax(axis=1)
    return np.bincount(pairs, minlength=labels * labels).reshape(labels, labels)


def metrics(labels: tuple[str, ...], classes: np.ndarray, probabilities: np.ndarray) -> dict:
    """Return the card's metrics: accuracy and top-5 accuracy (0-1), cross-entropy loss in nats, and each class."""
    matrix = confusion(classes, probabilities)
    true_class = probabilities[np.arange(len(classes)), classes]
    rank = (probabilities > true_class[:, np.newaxis]).sum(axis=1)
    per_class = {}
    for index, label in enumerate(labels):
        hits, of_class, predicted = matrix[index, index], matrix[index].sum(), matrix[:, index].sum()
        per_class[label] = {
            "pictures": int(of_class),
            "precision": round(float(hits / predicted), 4) if predicted else 0.0,
            "recall": round(float(hits / of_class), 4) if of_class else 0.0,
            "f1": round(float(2 * hits / (of_class + predicted)), 4) if of_class + predicted else 0.0,
        }
    return {
        "accuracy": round(float(np.mean(rank == 0)), 4),
        "top5_accuracy": round(float(np.mean(rank < 5)), 4),
        "loss": round(float(-np.log(np.maximum(true_class, 1e-7)).mean()), 4),
        "per_class": per_class,
    }
