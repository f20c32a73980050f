"""The two plots of a trained bundle: learning curves and confusion matrix, as PNG."""

from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")  # needs no display
from matplotlib import pyplot as plt
from matplotlib.ticker import MaxNLocator, PercentFormatter

TRAIN, HELD_OUT = "#9aa5b1", "#1a73e8"
MAX_READABLE_CLASSES = 30  # with more, names and counts do not fit


def learning_curves(history: dict[str, list[float]], path: Path) -> None:
    """Plot loss and accuracy of training and validation images. `history`: see `trainer.TrainingResult`."""
    epochs = range(1, len(history["loss"]) + 1)
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    marker = "o" if len(epochs) == 1 else None
    for axis, name in zip(axes, ("loss", "accuracy"), strict=True):
        axis.plot(epochs, history[name], color=TRAIN, marker=marker, label="training (augmented)")
        axis.plot(epochs, history[f"val_{name}"], color=HELD_OUT, linewidth=2, marker=marker, label="validation")
        axis.set(title=name.capitalize(), xlabel="epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylim(bottom=0)
    axes[1].yaxis.set_major_formatter(PercentFormatter(1))
    axes[1].legend(frameon=False, loc="lower right")
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def confusion_matrix(matrix: np.ndarray, labels: tuple[str, ...], path: Path) -> None:
    """Plot `matrix`, int (labels, labels), rows are true classes. Colour: share of the row; numbers: images."""
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    readable = len(labels) <= MAX_READABLE_CLASSES
    side = min(12, 3.2 + 0.55 * len(labels)) if readable else 9
    figure, axis = plt.subplots(figsize=(side + 0.8, side), layout="constrained")
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, format=PercentFormatter(1), shrink=0.8, label="share of the true class")
    axis.set(xlabel="predicted", ylabel="true")
    if readable:
        ticks = range(len(labels))
        axis.set_xticks(ticks, [_short(label) for label in labels], rotation=45, ha="right", rotation_mode="anchor")
        axis.set_yticks(ticks, [_short(label) for label in labels])
        for row, column in zip(*np.nonzero(matrix), strict=True):
            colour = "white" if shares[row, column] > 0.5 else "#202124"
            axis.text(column, row, f"{matrix[row, column]:,}", ha="center", va="center", color=colour, fontsize=8)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def _short(label: str) -> str:
    label = label if len(label) <= 24 else label[:23] + "…"
    return label.replace("$", r"\$")  # matplotlib renders text between dollar signs as mathematics
