"""Import an existing model: the order of the steps, from the model to its bundle."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from app import bundle
from training import TrainingError, card, metrics
from training.importing import classifier_head, input_adapter, loaders, output_adapter, readme, samples
from training.importing.arguments import ImportOptions
from training.importing.classifier_head import ClassifierHead
from training.importing.graph import Graph
from training.importing.input_adapter import InputAdapter
from training.importing.loaders import SourceModel
from training.importing.output_adapter import OutputAdapter
from training.litert import load_classifier

TEST_IMAGES = 6  # synthetic images for which the original and the bundle must give the same probabilities
TOLERANCE = {"float32": 1e-3, "quantised": 0.02}  # largest difference of a probability; a quantised step is 1/256


def import_model(out: Path, options: ImportOptions) -> None:
    """Write the bundle of an existing model to `out`, replacing an old one.

    Raises TrainingError if the model cannot be imported; `out` is then unchanged.
    """
    print(f"Loading {options.model} and converting it to LiteRT ...", flush=True)
    source = loaders.load(options.model, options.image_size)
    try:
        model, size, facts = _convert(source, options)
    except TrainingError as error:
        raise TrainingError(f"--import {options.model}: {error}") from error
    labels = options.labels
    with bundle.writing(out) as staged:
        print(f"Writing {out} ...", flush=True)
        (staged / bundle.MODEL).write_bytes(model)
        (staged / bundle.LABELS).write_text("\n".join(labels) + "\n", "utf-8")
        if options.model.suffix == ".keras":
            shutil.copyfile(options.model, staged / "model.keras")
        files = samples.write(staged, options.samples)
        facts = {
            "name": out.resolve().name,
            "input": {"height": size[0], "width": size[1]},
            "resize": options.resize,
            "labels": len(labels),
            "dataset": {"name": None, "images": None, "classes": len(labels), "splits": None},
            "metrics": dict.fromkeys(("accuracy", "top5_accuracy", "loss", "per_class")),
            "training": dict.fromkeys(("backbone", "epochs", "seconds", "seed")),
            **facts,
            "versions": card.versions(),
            "samples": card.sample_entries(staged, model, labels, size, options.resize, files),
        }
        (staged / "README.md").write_text(readme.readme(facts), "utf-8")
        facts = bundle.write_card(staged, facts)
    print(readme.summary(out, facts))


def add_adapters(
    graph: Graph, inputs: InputAdapter, outputs: OutputAdapter, head: ClassifierHead | None, labels: int
) -> bytes:
    """Add adapters and signatures to the graph; returns the content of `model.tflite`.

    The signatures are those of `training.export`; without a classifier head there is no `explain`.
    """
    image = input_adapter.prepend(graph, inputs)
    probabilities = output_adapter.append(graph, outputs, labels)
    graph.add_signature("serving_default", {"image": image}, {"probabilities": probabilities})
    if head is not None:
        classifier_head.add_explain_signature(graph, head, image, probabilities)
    return graph.serialize()


def synthetic_images(height: int, width: int) -> np.ndarray:
    """Return images of 5x5 coloured tiles with noise, always the same: uint8 (TEST_IMAGES, height, width, 3)."""
    generator = np.random.default_rng(1)
    tiles = generator.integers(0, 256, (TEST_IMAGES, 5, 5, 3))
    rows, columns = np.arange(height) * 5 // height, np.arange(width) * 5 // width
    noise = generator.integers(-20, 21, (TEST_IMAGES, height, width, 3))
    return np.clip(tiles[:, rows][:, :, columns] + noise, 0, 255).astype(np.uint8)


def _convert(source: SourceModel, options: ImportOptions) -> tuple[bytes, tuple[int, int], dict[str, Any]]:
    """Return the content of `model.tflite`, (height, width) of its input, and the card's `imported` and `export`."""
    graph, labels = Graph(source.litert), len(options.labels)
    inputs = input_adapter.detect(graph, source.input_shape, options.range, source.input_range)
    images = synthetic_images(*inputs.size)
    print(f"Comparing the original and the import on {len(images)} synthetic images ...", flush=True)
    predicted = [source.predict(inputs.convert(image[np.newaxis])) for image in images]
    outputs = output_adapter.detect(graph, predicted, labels, str(options.labels_file))
    head = classifier_head.find(graph, outputs.tensor)
    precision = "float32" if graph.is_float32() else "quantised"
    model = add_adapters(graph, inputs, outputs, head, labels)
    agreement = _compare(model, images, np.stack([outputs.to_probabilities(values) for values in predicted]))
    if agreement.max_difference > TOLERANCE[precision]:
        raise TrainingError(
            f"the probabilities of the import differ from the original's by up to {agreement.max_difference:.1e}, more "
            f"than {TOLERANCE[precision]}; please report this as a bug"
        )
    imported = {
        "file": options.model.name,
        **source.facts,
        "input": list(inputs.shape),
        "range": inputs.range.name,
        "range_found": inputs.range.found,
        "answers": outputs.description,
        "heatmap": head is not None,
    }
    export = {"precision": precision, "bytes": len(model), "agreement": agreement._asdict()}
    return model, inputs.size, {"imported": imported, "export": export}


def _compare(model: bytes, images: np.ndarray, expected: np.ndarray) -> metrics.Agreement:
    """Compare the model's probabilities with the original's, `expected` (n, labels)."""
    classify = load_classifier(model)
    return metrics.compare(expected, np.stack([classify(image[np.newaxis]) for image in images]))
