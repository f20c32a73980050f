"""Compare the precisions in which a network can be exported, on crops of the sample photographs.

    python -m training.compare_precisions

takes about three minutes, prints a table and writes it to `training/weights/precisions.md`, which the ImageNet bundle's
README includes. Run the command again after an update of the converter or of LiteRT.
"""

import io
import sys
import time

import numpy as np
from PIL import Image, ImageOps

from training import efficientnet, export, metrics, pretrained
from training.datasets import Split
from training.litert import load_classifier
from training.trainer import predict
from training.weights import FOLDER

CROPS_PER_PHOTO = 100
CALIBRATION_IMAGES = 120  # additional crops, only for int8
SEED = 1
TIMED_RUNS = 100


def crops(count: int, seed: int) -> np.ndarray:
    """Return `count` random crops of each sample photograph, half of them mirrored: uint8 (n, 224, 224, 3).

    A crop is a square anywhere in the photograph; its side is 30 to 100 % of the photograph's shorter side.
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


def latency_ms(model: bytes, image: np.ndarray) -> float:
    """Return the median time of one classification on one thread, in milliseconds; `image`: (1, 224, 224, 3)."""
    classify = load_classifier(model)
    seconds = []
    for _ in range(TIMED_RUNS):
        started = time.perf_counter()
        classify(image)
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds)) * 1e3


def main() -> int:
    """Measure every precision and write the table; returns the exit code."""
    model = pretrained.network()
    images = crops(CROPS_PER_PHOTO, SEED)
    split = Split(images, np.zeros(len(images), np.int64))
    expected = predict(model, split, "Keras")
    photos = len(list(pretrained.SAMPLES.glob("*.jpg")))
    table = io.StringIO()
    print("| precision | size | time per image | same top-1 | top-5 overlap | largest difference |", file=table)
    print("|---|---|---|---|---|---|", file=table)
    for precision in export.PRECISIONS:
        calibration = crops(CALIBRATION_IMAGES // photos, SEED + 1).astype(np.float32) if precision == "int8" else None
        exported = export.to_litert(model, precision, calibration)
        found = metrics.litert_probabilities(exported, split, precision)
        agreement = metrics.compare(expected, found)
        chosen = " **(chosen)**" if precision == pretrained.PRECISION else ""
        print(
            f"| {precision}{chosen} | {len(exported) / 1e6:.1f} MB | {latency_ms(exported, split.rgb(0, 1)):.1f} ms "
            f"| {agreement.same_top1:.1%} | {agreement.top5_overlap:.1%} | {agreement.max_difference:.1g} |",
            file=table,
        )
    print(
        f"\nMeasured on {len(images)} crops of the {photos} sample photographs, compared with the float32 Keras\n"
        "network. The time is the median on one thread of a cloud CPU; the difference is the largest between two\n"
        "probabilities. `python -m training.compare_precisions` writes this table.",
        file=table,
    )
    (FOLDER / "precisions.md").write_text(table.getvalue(), "utf-8")
    print(table.getvalue())
    return 0


if __name__ == "__main__":
    sys.exit(main())
