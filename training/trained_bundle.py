"""Write the bundle of a network that train.py has trained."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from app import bundle, images
from training import card, export, metrics, plots
from training.datasets import MAX_SAMPLES, SAMPLE_SIDE, Dataset
from training.trainer import TrainingResult, predict

PRECISION = {"cnn": "float32", "efficientnet-lite0": "float16"}  # for float16 see training/weights/precisions.md


def write(out: Path, dataset: Dataset, result: TrainingResult, seed: int, folder: Path | None = None) -> None:
    """Export the network, measure the export on the test images, and write the bundle to `out`, replacing an old one.

    `folder`: the data set's folder if it is one. Raises TrainingError if the export differs too much from Keras; `out`
    is then unchanged.
    """
    model, labels = result.model, dataset.labels
    precision = PRECISION[model.name]
    print(f"Exporting to LiteRT, {precision} ...", flush=True)
    exported = export.to_litert(model, precision)
    probabilities = metrics.litert_probabilities(exported, dataset.test)
    agreement = metrics.compare(predict(model, dataset.test, "Comparing with Keras"), probabilities)
    metrics.check_agreement(agreement, precision)

    with bundle.writing(out) as staged:
        print(f"Writing {out} ...", flush=True)
        (staged / bundle.MODEL).write_bytes(exported)
        (staged / bundle.LABELS).write_text("\n".join(labels) + "\n", "utf-8")
        model.save(staged / "model.keras")
        (staged / "plots").mkdir()
        plots.learning_curves(result.history, staged / "plots" / "learning-curves.png")
        matrix = metrics.confusion_matrix(dataset.test.classes, probabilities)
        plots.confusion_matrix(matrix, labels, staged / "plots" / "confusion-matrix.png")
        samples = _write_samples(staged, dataset, folder)
        facts = {
            "name": out.resolve().name,
            "input": {"height": dataset.size[0], "width": dataset.size[1]},
            "resize": dataset.resize,
            "labels": len(labels),
            "dataset": card.dataset_facts(dataset),
            "metrics": metrics.evaluate(labels, dataset.test.classes, probabilities),
            "training": {
                "backbone": model.name,
                "epochs": len(result.history["loss"]),
                "seconds": round(result.seconds, 1),
                "seed": seed,
            },
            "export": {"precision": precision, "bytes": len(exported), "agreement": agreement._asdict()},
            "versions": card.versions(),
            "samples": card.sample_entries(staged, exported, labels, dataset.size, dataset.resize, samples),
        }
        (staged / "README.md").write_text(card.readme(facts, dataset), "utf-8")
        facts = bundle.write_card(staged, facts)
    print(card.summary(facts))
    sys.stdout.flush()


def _write_samples(staged: Path, dataset: Dataset, folder: Path | None) -> dict[str, str | None]:
    """Write up to MAX_SAMPLES test images, first one of each class, and return {file: label}."""
    (staged / "samples").mkdir()
    samples: dict[str, str | None] = {}
    for number, index in enumerate(_one_of_each_class_first(dataset.test.classes)[:MAX_SAMPLES], 1):
        if folder is None:
            name = f"samples/{number}.png"
            Image.fromarray(dataset.test.images[index].squeeze()).save(staged / name, optimize=True)
        else:
            name = f"samples/{number}.jpg"
            image = images.preview((folder / dataset.files[index]).read_bytes(), SAMPLE_SIDE)
            image.save(staged / name, quality=88, optimize=True)
        samples[name] = dataset.labels[dataset.test.classes[index]]
    (staged / "samples" / "LICENSES.md").write_text(
        f"# Sample images\n\nThese are test images of the data set.\n\n{dataset.origin}\n", "utf-8"
    )
    return samples


def _one_of_each_class_first(classes: np.ndarray) -> list[int]:
    """Return all indices of `classes`: the first image of each class, then the second of each class, and so on."""
    order = np.argsort(classes, kind="stable")
    position = np.empty(len(classes), np.int64)  # of an image among those of its class
    for label in np.unique(classes):
        members = order[classes[order] == label]
        position[members] = np.arange(len(members))
    return [int(index) for index in np.lexsort((classes, position))]
