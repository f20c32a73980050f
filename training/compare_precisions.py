"""Compare the precisions in which a network can be exported, on crops of the sample photographs.

    python -m training.precisions

takes about three minutes, prints the table and writes it to `training/weights/precisions.md`, from where the ImageNet
bundle's README takes it. Run it again when the converter or the runtime changes.
"""

import io
import sys
import time

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image, ImageOps

from training import efficientnet, export, measures, pretrained
from training.datasets import Split
from training.fitting import probabilities
from training.weights import FOLDER

CROPS_A_PHOTO = 100
CALIBRATION = 120  # further crops, for full int8 only
SEED = 1
TIMED = 100  # runs


def crops(count: int, seed: int) -> np.ndarray:
    """Return `count` crops of each sample photograph: uint8 (n, 224, 224, 3), half of them mirrored.

    A crop is a square with 30 to 100 % of the photograph's shorter side, anywhere in it.
    """
    generator = np.random.default_rng(seed)
    found = []
    for path in sorted(pretrained.SAMPLES.glob("*.jpg")):
        photo = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        for _ in range(count):
            side = generator.uniform(0.3, 1) * min(photo.size)
            left, top = generator.uniform(0, photo.width - side), generator.uniform(0, photo.height - side)
            box = (left, top, left + side, top + side)
            crop = photo.resize((efficientnet.SIZE, efficientnet.SIZE), Image.Resampling.BICUBIC, box)
            found.append(np.asarray(crop if generator.random() < 0.5 else ImageOps.mirror(crop)))
    return np.stack(found)


def latency(model: bytes, picture: np.ndarray) -> float:
    """Return the median time of one classification on one thread, in milliseconds."""
    classify = Interpreter(model_content=model, num_threads=1).get_signature_runner("serving_default")
    times = []
    for _ in range(TIMED):
        started = time.perf_counter()
        classify(image=picture)
        times.append(time.perf_counter() - started)
    return float(np.median(times)) * 1e3


def main() -> int:
    """Measure every precision and write the table."""
    model = pretrained.network()
    images = crops(CROPS_A_PHOTO, SEED)
    pictures = Split(images, np.zeros(len(images), np.int64))
    keras_answers = probabilities(model, pictures, "Keras,")
    photos = len(list(pretrained.SAMPLES.glob("*.jpg")))
    table = io.StringIO()
    print("| precision | file | one picture | same top-1 | top-5 overlap | largest difference |", file=table)
    print("|---|---|---|---|---|---|", file=table)
    for precision in export.PRECISIONS:
        calibration = crops(CALIBRATION // photos, SEED + 1).astype(np.float32) if precision == "int8" else None
        exported = export.to_litert(model, precision, calibration)
        found = measures.litert_probabilities(exported, pictures, f"{precision},")
        agreement = measures.agreement(keras_answers, found)
        chosen = " **(chosen)**" if precision == pretrained.PRECISION else ""
        print(
            f"| {precision}{chosen} | {len(exported) / 1e6:.1f} MB | {latency(exported, pictures.rgb(0, 1)):.1f} ms "
            f"| {agreement.same_top1:.1%} | {agreement.top5_overlap:.1%} | {agreement.max_difference:.1g} |",
            file=table,
        )
    print(
        f"\nOn {len(images)} crops of the {photos} sample photographs, against the float32 Keras model. The time is\n"
        "the median of one thread of a cloud CPU, the difference that of any probability. Made by\n"
        "`python -m training.precisions`.",
        file=table,
    )
    (FOLDER / "precisions.md").write_text(table.getvalue(), "utf-8")
    print(table.getvalue())
    return 0


if __name__ == "__main__":
    sys.exit(main())
