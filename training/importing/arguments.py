"""What `train.py --import` is told, checked before TensorFlow is loaded."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from app.bundle import RESIZE
from training import TrainingError
from training.importing import labels, ranges, samples

ONLY_HERE = ("labels", "samples", "range", "resize")
SIDES = (8, 4096)  # pixels; the second as bundles have it
FORMS = "a Keras file (.keras, .h5), a SavedModel folder or a .tflite"


@dataclass(frozen=True)
class Request:
    """`side`: pixels, where the model leaves its size open. `range`: a key of RANGES, where it cannot be read."""

    model: Path
    labels_file: Path
    labels: tuple[str, ...]
    samples: list[samples.Sample]
    side: int | None
    range: str | None
    resize: str


def add(add_argument: Callable) -> None:
    """Add the options to the command line."""
    add_argument("--import", dest="model", type=Path, metavar="MODEL", help=f"make a bundle of {FORMS}, made elsewhere")
    add_argument("--labels", type=Path, metavar="FILE", help="of the imported model: one a line, in its order")
    add_argument(
        "--samples", type=Path, metavar="FOLDER", help="pictures to take with it, or a subfolder for each label"
    )
    add_argument("--range", help=f"the values it was trained on, where it does not say: {ranges.CHOICES}")
    add_argument("--resize", help="how pictures get its size: stretch (default), or the centre, as center-crop:0.875")


def check(args: argparse.Namespace) -> Request:
    """Check everything that can be checked without loading the model. Raises TrainingError."""
    if args.labels is None:
        raise TrainingError("--import needs --labels FILE, a text file with one label a line, in the model's order")
    if args.range is not None and args.range not in ranges.RANGES:
        raise TrainingError(f"--range {args.range} is not known: choose {ranges.CHOICES}")
    if args.resize is not None and not RESIZE.fullmatch(args.resize):
        raise TrainingError(f"--resize {args.resize} is not known: choose stretch or, for example, center-crop:0.875")
    if args.image_size is not None and not SIDES[0] <= args.image_size <= SIDES[1]:
        raise TrainingError(f"--image-size {args.image_size} is out of range: choose {SIDES[0]} to {SIDES[1]}")
    model = args.model
    if not model.exists():
        raise TrainingError(f"--import {model}: no such file or folder: name {FORMS}")
    saved = model.is_dir() and (model / "saved_model.pb").is_file()
    if not saved and (model.is_dir() or model.suffix.lower() not in (".keras", ".h5", ".hdf5", ".tflite")):
        raise TrainingError(f"--import {model} is not one of the forms that can be read: {FORMS}")
    if args.out.resolve() in (model.resolve(), *model.resolve().parents):
        raise TrainingError(f"--out {args.out} holds the model itself, and would replace it: name another folder")
    names = labels.read(args.labels)
    pictures = [] if args.samples is None else samples.find(args.samples, names)
    return Request(model, args.labels, names, pictures, args.image_size, args.range, args.resize or "stretch")
