"""The card, model.json, of a trained bundle, and the same facts as README.md and as a summary on the terminal."""

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from app import images
from training.datasets import Dataset
from training.litert import load_classifier

MAX_HARDEST_CLASSES = 8  # classes listed on the terminal


def versions() -> dict[str, str]:
    """Return the card's field `versions`: the versions of Python and the libraries that wrote the bundle."""
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "litert": version("ai-edge-litert"),
    }


def dataset_facts(dataset: Dataset) -> dict[str, Any]:
    """Return the card's field `dataset`."""
    splits = {"train": len(dataset.train), "validation": len(dataset.validation), "test": len(dataset.test)}
    return {
        "name": dataset.title,
        "images": sum(splits.values()),
        "classes": len(dataset.labels),
        "splits": splits,
        "skipped": len(dataset.skipped),
    }


def sample_entries(
    folder: Path,
    model: bytes,
    labels: tuple[str, ...],
    size: tuple[int, int],
    resize: str,
    samples: dict[str, str | None],
) -> list[dict[str, Any]]:
    """Return the card's field `samples`, with the model's top label for each file as the expected answer.

    `folder`: the bundle's folder. `model`: the content of `model.tflite`. `size`: (height, width) of its input in
    pixels. `resize`: see `app.images.decode`. `samples`: {file relative to `folder`: true label, or None if unknown}.
    """
    height, width = size
    classify = load_classifier(model)
    entries = []
    for file, label in samples.items():
        pixels = images.decode((folder / file).read_bytes(), width, height, resize).pixels
        probabilities = classify(np.asarray(pixels)[np.newaxis])
        top = int(probabilities.argmax())
        expected = {"label": labels[top], "probability": round(float(probabilities[top]), 4)}
        entries.append({"file": file, "label": label, "expected": expected})
    return entries


def summary(card: dict[str, Any]) -> str:
    """Return the last lines that training prints: the metrics, and the classes with the lowest F1."""
    metrics, training = card["metrics"], card["training"]
    hardest = sorted(metrics["per_class"].items(), key=lambda item: item[1]["f1"])[:MAX_HARDEST_CLASSES]
    width = max(20, *(len(label) for label, _ in hardest))
    lines = [
        "",
        f"{'test accuracy':<{width}}  {metrics['accuracy']:>8.2%}   on {card['dataset']['splits']['test']:,} images",
        f"{'top-5 accuracy':<{width}}  {metrics['top5_accuracy']:>8.2%}",
        f"{'loss':<{width}}  {metrics['loss']:>8.3f}",
        f"{'training time':<{width}}  {training['seconds']:>6.0f} s   {training['epochs']} epochs",
        f"{'model.tflite':<{width}}  {card['export']['bytes'] / 1e6:>5.1f} MB   {card['export']['precision']}",
        "",
        f"{'lowest F1':<{width}}  precision  recall      F1",
    ]
    lines += [f"{name:<{width}}  {f['precision']:>9.2f}{f['recall']:>8.2f}{f['f1']:>8.2f}" for name, f in hardest]
    return "\n".join(lines)


def readme(card: dict[str, Any], dataset: Dataset) -> str:
    """Return README.md of a bundle trained by train.py."""
    metrics, splits, training, export = card["metrics"], card["dataset"]["splits"], card["training"], card["export"]
    frozen = training["backbone"] != "cnn"
    network = "EfficientNet-Lite0 with a new last layer" if frozen else "a small CNN"
    rows = "\n".join(
        f"| {escape_markdown(label)} | {f['pictures']:,} | {f['precision']:.3f} | {f['recall']:.3f} | {f['f1']:.3f} |"
        for label, f in metrics["per_class"].items()
    )
    weights = (
        "\nThe weights of the other layers are those of EfficientNet-Lite0 (Apache-2.0, see `training/weights`).\n"
        if frozen
        else ""
    )
    limits = "\n".join(f"- {limit}" for limit in _limits(dataset))
    return f"""# {card["name"]}

An image classifier with {card["labels"]} classes: {network}, trained on {splits["train"]:,} images
({escape_markdown(dataset.title)}) for {training["epochs"]} epochs in {training["seconds"]:.0f} seconds. `model.tflite` is the LiteRT export:
{export["precision"]}, {export["bytes"] / 1e6:.1f} MB.

| metric | on {splits["test"]:,} test images |
|---|---|
| accuracy | {metrics["accuracy"]:.2%} |
| top-5 accuracy | {metrics["top5_accuracy"]:.2%} |
| loss (cross-entropy) | {metrics["loss"]:.3f} |

These metrics were measured with `model.tflite`, the file that the app serves. It predicts the same class as the Keras
network for {export["agreement"]["same_top1"]:.2%} of the test images; the largest difference between two probabilities is {export["agreement"]["max_difference"]:.1e}.
The weights are those of the epoch with the lowest loss on {splits["validation"]:,} validation images.

![Learning curves](plots/learning-curves.png)

![Confusion matrix](plots/confusion-matrix.png)

| class | test images | precision | recall | F1 |
|---|---|---|---|---|
{rows}

## Limits

{limits}

## Data and licence

{dataset.origin}
{weights}"""  # noqa: E501 - sentences with values


def escape_markdown(text: str) -> str:
    """Escape the characters that have a meaning in a Markdown table."""
    return "".join(f"\\{character}" if character in "|\\`*_<>[]" else character for character in text)


def _limits(dataset: Dataset) -> list[str]:
    limits = [
        "The model has only these classes. An image of anything else still gets one of them.",
        "A probability is the network's own estimate, not a guarantee.",
    ]
    if dataset.grey:
        limits.append(
            "It was trained on grey 28x28 images of single garments on plain black. It uses the difference in "
            "brightness from the four corners, so a plain white background works too. Garments that are worn or "
            "folded, or have other objects around them, are unlike its training data."
        )
    count = len(dataset.test)
    if count < 200:
        limits.append(f"The test set is small: one image changes the accuracy by {1 / count:.1%}.")
    return limits
