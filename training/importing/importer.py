"""The bundle of a model that was made elsewhere: the order of the steps."""

import shutil
from pathlib import Path

import numpy as np

from app import bundle
from training import TrainingError, card, measures
from training.importing import answers, entrance, heatmap, originals, readme, samples
from training.importing.arguments import Request
from training.importing.graph import Graph
from training.importing.running import interpreter
from training.quiet import quiet

PROBES = 6  # made-up pictures that the original and the bundle must answer alike
TOLERANCE = {"float32": 1e-3, "quantised": 0.02}  # largest difference of a probability; a quantised step is 1/256


def write(out: Path, request: Request) -> None:
    """Bring the model to LiteRT, complete it, compare it with the original, and put the bundle in place."""
    model, labels = request.model, request.labels
    print(f"Reading {model} and bringing it to LiteRT ...", flush=True)
    original = originals.load(model, request.side)
    try:
        graph = Graph(original.litert)
        own = entrance.find(graph, original.layout, request.range, original.first_steps)
        pictures = probes(*own.size)
        print(f"Comparing on {len(pictures)} made-up pictures ...", flush=True)
        predicted = [original.predict(own.feed(picture[np.newaxis])) for picture in pictures]
        out_of = answers.find(graph, predicted, len(labels), str(request.labels_file))
        ending = heatmap.find(graph, out_of.number)
        completed = complete(graph, own, out_of, ending, len(labels))
        agreement = compare(completed, pictures, np.stack([out_of.read(outputs) for outputs in predicted]))
        precision = "float32" if graph.float32() else "quantised"
        if agreement.max_difference > TOLERANCE[precision]:
            raise TrainingError(
                f"in LiteRT its probabilities differ by up to {agreement.max_difference:.1e} from the original's, more "
                f"than {TOLERANCE[precision]}: please report this"
            )
    except TrainingError as error:
        raise TrainingError(f"--import {model}: {error}") from error
    with bundle.writing(out) as staged:
        print(f"Writing {out} ...", flush=True)
        (staged / bundle.MODEL).write_bytes(completed)
        (staged / bundle.LABELS).write_text("\n".join(labels) + "\n", "utf-8")
        if model.suffix == ".keras":
            shutil.copyfile(model, staged / "model.keras")
        with quiet():
            files = samples.write(staged, request.samples)
            expected = card.expected(staged, completed, labels, own.size, request.resize, files)
        facts = {
            "name": out.resolve().name,
            "input": {"height": own.size[0], "width": own.size[1]},
            "resize": request.resize,
            "labels": len(labels),
            "dataset": {"name": None, "images": None, "classes": len(labels), "splits": None},
            "metrics": dict.fromkeys(("accuracy", "top5_accuracy", "loss", "per_class")),
            "training": dict.fromkeys(("backbone", "epochs", "seconds", "seed")),
            "imported": {
                "file": model.name,
                **original.facts,
                "input": list(own.layout),
                "range": own.range.name,
                "range_found": own.range.found,
                "answers": out_of.said,
                "heatmap": ending is not None,
            },
            "export": {"precision": precision, "bytes": len(completed), "agreement": agreement._asdict()},
            "versions": card.versions(),
            "samples": expected,
        }
        (staged / "README.md").write_text(readme.text(facts), "utf-8")
        facts = bundle.write_card(staged, facts)
    print(readme.summary(out, facts))


def complete(
    graph: Graph, own: entrance.Entrance, out_of: answers.Answers, ending: heatmap.Ending | None, labels: int
) -> bytes:
    """Write what serving asks for into the graph and return the contents of `model.tflite`."""
    image = entrance.build(graph, own)
    probabilities = answers.build(graph, out_of, labels)
    graph.sign("serving_default", {"image": image}, {"probabilities": probabilities})
    if ending is not None:
        heatmap.build(graph, ending, image, probabilities)
    return graph.pack()


def compare(model: bytes, pictures: np.ndarray, expected: np.ndarray) -> measures.Agreement:
    """Compare what serving will answer with the original's probabilities (n, labels)."""
    with quiet():
        classify = interpreter(model).get_signature_runner("serving_default")
        found = [classify(image=picture[np.newaxis].astype(np.float32))["probabilities"][0] for picture in pictures]
    return measures.agreement(expected, np.stack(found))


def probes(height: int, width: int) -> np.ndarray:
    """Return made-up pictures, uint8 (PROBES, height, width, 3): smooth clouds of colour, always the same."""
    generator = np.random.default_rng(1)
    coarse = generator.integers(0, 256, (PROBES, 5, 5, 3))
    rows, columns = np.arange(height) * 5 // height, np.arange(width) * 5 // width
    noise = generator.integers(-20, 21, (PROBES, height, width, 3))
    return np.clip(coarse[:, rows][:, :, columns] + noise, 0, 255).astype(np.uint8)
