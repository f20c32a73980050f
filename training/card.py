"""The card: model.json's facts, and the same for people as README.md."""

import platform
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from app import images
from training.datasets import Dataset

HARD = 8  # classes listed in the terminal's table


def versions() -> dict[str, str]:
    """Return the versions that made the model."""
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "litert": version("ai-edge-litert"),
    }


def dataset_facts(dataset: Dataset) -> dict:
    """Return the card's field `dataset`."""
    splits = {"train": len(dataset.train), "validation": len(dataset.validation), "test": len(dataset.test)}
    return {
        "name": dataset.title,
        "images": sum(splits.values()),
        "classes": len(dataset.labels),
        "splits": splits,
        "skipped": len(dataset.skipped),
    }


def expected(
    staged: Path,
    model: bytes,
    labels: tuple[str, ...],
    size: tuple[int, int],
    resize: str,
    samples: dict[str, str | None],
) -> list[dict]:
    """Return the card's field `samples`: what serving must answer for each file of {file: true label}."""
    classify = Interpreter(model_content=model, num_threads=1).get_signature_runner("serving_default")
    entries = []
    for file, label in samples.items():
        pixels = images.decode((staged / file).read_bytes(), size[1], size[0], resize).pixels
        probabilities = classify(image=np.asarray(pixels, np.float32)[np.newaxis])["probabilities"][0]
        best = int(probabilities.argmax())
        answer = {"label": labels[best], "probability": round(float(probabilities[best]), 4)}
        entries.append({"file": file, "label": label, "expected": answer})
    return entries


def table(card: dict) -> str:
    """Return the final table for the terminal: the figures, and the classes that are hardest to tell."""
    metrics, training = card["metrics"], card["training"]
    hardest = sorted(metrics["per_class"].items(), key=lambda item: item[1]["f1"])[:HARD]
    width = max(20, *(len(label) for label, _ in hardest))
    lines = [
        "",
        f"{'test accuracy':<{width}}  {metrics['accuracy']:>8.2%}   on {card['dataset']['splits']['test']:,} pictures",
        f"{'top-5 accuracy':<{width}}  {metrics['top5_accuracy']:>8.2%}",
        f"{'loss':<{width}}  {metrics['loss']:>8.3f}",
        f"{'training time':<{width}}  {training['seconds']:>6.0f} s   {training['epochs']} epochs",
        f"{'model.tflite':<{width}}  {card['export']['bytes'] / 1e6:>5.1f} MB   {card['export']['precision']}",
        "",
        f"{'hardest classes':<{width}}  precision  recall      F1",
    ]
    lines += [f"{name:<{width}}  {f['precision']:>9.2f}{f['recall']:>8.2f}{f['f1']:>8.2f}" for name, f in hardest]
    return "\n".join(lines)


def readme_trained(card: dict, dataset: Dataset) -> str:
    """Return README.md of a bundle that was trained here."""
    metrics, splits, training = card["metrics"], card["dataset"]["splits"], card["training"]
    rows = "\n".join(
        f"| {cell(label)} | {f['pictures']:,} | {f['precision']:.3f} | {f['recall']:.3f} | {f['f1']:.3f} |"
        for label, f in metrics["per_class"].items()
    )
    frozen = training["backbone"] != "cnn"
    weights = (
        "\nThe backbone's weights are EfficientNet-Lite0's (Apache-2.0, see `training/weights`).\n" if frozen else ""
    )
    limits = [
        "It knows these classes and nothing else: a picture of something else gets one of them all the same.",
        "A probability is the network's own estimate, not a guarantee.",
    ]
    if dataset.grey:
        limits.append(
            "It was trained on grey 28x28 pictures of single garments on plain black. It measures brightness "
            "against the four corners, so that a white background does as well; a garment that is worn, folded or "
            "cluttered by its surroundings is outside what it has seen."
        )
    if splits["test"] < 200:
        limits.append(f"The test set is small: one picture more or less right is {1 / splits['test']:.1%} of accuracy.")
    bullets = "\n".join(f"- {limit}" for limit in limits)
    return f"""# {card["name"]}

A classifier of {card["labels"]} classes: {"EfficientNet-Lite0 with a new last layer" if frozen else "a small CNN"}, trained on
{splits["train"]:,} pictures of {cell(dataset.title)} for {training["epochs"]} epochs ({training["seconds"]:.0f} s), and exported to
LiteRT as {card["export"]["precision"]} ({card["export"]["bytes"] / 1e6:.1f} MB).

| on {splits["test"]:,} test pictures | |
|---|---|
| accuracy | {metrics["accuracy"]:.2%} |
| top-5 accuracy | {metrics["top5_accuracy"]:.2%} |
| loss (cross-entropy) | {metrics["loss"]:.3f} |

Measured with `model.tflite`, the file that is served; it gives the Keras network's answer for
{card["export"]["agreement"]["same_top1"]:.2%} of them (largest difference of a probability
{card["export"]["agreement"]["max_difference"]:.1e}). The epoch was chosen by {splits["validation"]:,} other pictures.

![Learning curves](plots/learning-curves.png)

![Confusion matrix](plots/confusion-matrix.png)

| class | test pictures | precision | recall | F1 |
|---|---|---|---|---|
{rows}

## Limits

{bullets}

## Data and licence

{dataset.origin}
{weights}"""  # noqa: E501 - sentences with figures


def cell(text: str) -> str:
    """Escape what Markdown would take for markup in a table."""
    return "".join(f"\\{character}" if character in "|\\`*_<>[]" else character for character in text)
