"""The bundle of a network that was trained here."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from app import bundle, images
from training import card, export, measures, plots
from training.datasets import SAMPLE_SIDE, SAMPLES, Dataset
from training.fitting import Fit, probabilities

PRECISION = {"cnn": "float32", "efficientnet-lite0": "float16"}  # the second by the measurements of precisions.md


def write(out: Path, dataset: Dataset, fit: Fit, seed: int, folder: Path | None = None) -> None:
    """Export, measure what will be served on the test pictures, and put the bundle in place of the old one.

    `folder` is where the data set's files lie, where it is a folder.
    """
    precision = PRECISION[fit.model.name]
    print(f"Exporting to LiteRT, {precision} ...", flush=True)
    model = export.to_litert(fit.model, precision)
    served = measures.litert_probabilities(model, dataset.test)
    agreement = measures.agreement(probabilities(fit.model, dataset.test, "Comparing with Keras,"), served)
    measures.check(agreement, precision)
    metrics = measures.metrics(dataset.labels, dataset.test.classes, served)

    with bundle.writing(out) as staged:
        print(f"Writing {out} ...", flush=True)
        (staged / bundle.MODEL).write_bytes(model)
        (staged / bundle.LABELS).write_text("\n".join(dataset.labels) + "\n", "utf-8")
        fit.model.save(staged / "model.keras")
        plots_folder = staged / "plots"
        plots_folder.mkdir()
        plots.learning_curves(fit.history, plots_folder / "learning-curves.png")
        matrix = measures.confusion(dataset.test.classes, served)
        plots.confusion_matrix(matrix, dataset.labels, plots_folder / "confusion-matrix.png")
        samples = _samples(staged, dataset, folder)
        completed = {
            "name": out.resolve().name,
            "input": {"height": dataset.size[0], "width": dataset.size[1]},
            "resize": dataset.resize,
            "labels": len(dataset.labels),
            "dataset": card.dataset_facts(dataset),
            "metrics": metrics,
            "training": {
                "backbone": fit.model.name,
                "epochs": len(fit.history["loss"]),
                "seconds": round(fit.seconds, 1),
                "seed": seed,
            },
            "export": {"precision": precision, "bytes": len(model), "agreement": agreement._asdict()},
            "versions": card.versions(),
            "samples": card.expected(staged, model, dataset.labels, dataset.size, dataset.resize, samples),
        }
        (staged / "README.md").write_text(card.readme_trained(completed, dataset), "utf-8")
        completed = bundle.write_card(staged, completed)
    print(card.table(completed))
    sys.stdout.flush()


def _samples(staged: Path, dataset: Dataset, folder: Path | None) -> dict[str, str]:
    """Write up to SAMPLES test pictures, one of each class while there are enough, and return {file: label}."""
    (staged / "samples").mkdir()
    chosen = _one_of_each(dataset.test.classes, SAMPLES)
    samples = {}
    for number, index in enumerate(chosen, 1):
        label = dataset.labels[dataset.test.classes[index]]
        if folder is None:
            name = f"samples/{number}.png"
            Image.fromarray(dataset.test.images[index].squeeze()).save(staged / name, optimize=True)
        else:
            name = f"samples/{number}.jpg"
            picture = images.preview((folder / dataset.files[index]).read_bytes(), SAMPLE_SIDE)
            picture.save(staged / name, quality=88, optimize=True)
        samples[name] = label
    (staged / "samples" / "LICENSES.md").write_text(
        f"# Sample pictures\n\nTest pictures of: {dataset.origin}\n", "utf-8"
    )
    return samples


def _one_of_each(classes: np.ndarray, count: int) -> list[int]:
    """Return `count` indices: the first picture of each class, then the second of each, and so on."""
    order = np.argsort(classes, kind="stable")
    round_of = np.empty(len(classes), np.int64)
    for label in np.unique(classes):
        members = order[classes[order] == label]
        round_of[members] = np.arange(len(members))
    return [int(index) for index in np.lexsort((classes, round_of))[:count]]
