"""The options of `train.py --import`, checked before TensorFlow is loaded."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from app.bundle import RESIZE
from training import TrainingError
from training.importing import labels, samples, value_ranges

OPTIONS = ("labels", "samples", "range", "resize")  # only valid together with --import
MIN_SIZE, MAX_SIZE = 8, 4096  # pixels; the maximum is that of a bundle
SUFFIXES = (".keras", ".h5", ".hdf5", ".tflite")
FORMATS = "a Keras file (.keras, .h5), a SavedModel folder or a .tflite file"


@dataclass(frozen=True)
class ImportOptions:
    """The checked options.

    `image_size`: width and height in pixels, if the model's input leaves them open.
    `range`: a key of `value_ranges.RANGES`, or None to detect it.
    `resize`: see `app.images.decode`.
    """

    model: Path
    labels_file: Path
    labels: tuple[str, ...]
    samples: list[samples.Sample]
    image_size: int | None
    range: str | None
    resize: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options to the command line."""
    add = parser.add_argument
    add("--import", dest="model", type=Path, metavar="MODEL", help=f"make a bundle from an existing model: {FORMATS}")
    add("--labels", type=Path, metavar="FILE", help="the imported model's labels, one per line, in the model's order")
    add(
        "--samples", type=Path, metavar="FOLDER", help="sample images for the page, loose or in one subfolder per label"
    )
    add("--range", help=f"the values the imported model was trained on, if undetected: {value_ranges.CHOICES}")
    add("--resize", help="how images are resized for the imported model: stretch (default) or center-crop:0.875")


def check(args: argparse.Namespace) -> ImportOptions:
    """Check the options as far as possible without loading the model. Raises TrainingError."""
    if args.labels is None:
        raise TrainingError("--import needs --labels FILE, a text file with one label per line, in the model's order")
    if args.range is not None and args.range not in value_ranges.RANGES:
        raise TrainingError(f"invalid --range {args.range}: expected {value_ranges.CHOICES}")
    if args.resize is not None and not RESIZE.fullmatch(args.resize):
        raise TrainingError(f"invalid --resize {args.resize}: expected stretch or, for example, center-crop:0.875")
    if args.image_size is not None and not MIN_SIZE <= args.image_size <= MAX_SIZE:
        raise TrainingError(f"invalid --image-size {args.image_size}: expected a number from {MIN_SIZE} to {MAX_SIZE}")
    _check_model_path(args.model)
    if args.out.resolve() in (args.model.resolve(), *args.model.resolve().parents):
        raise TrainingError(
            f"--out {args.out} contains the model {args.model} and would be replaced; give another folder"
        )
    names = labels.read(args.labels)
    return ImportOptions(
        model=args.model,
        labels_file=args.labels,
        labels=names,
        samples=[] if args.samples is None else samples.find(args.samples, names),
        image_size=args.image_size,
        range=args.range,
        resize=args.resize or "stretch",
    )


def _check_model_path(model: Path) -> None:
    if not model.exists():
        raise TrainingError(f"--import {model}: no such file or folder; give {FORMATS}")
    supported = (model / "saved_model.pb").is_file() if model.is_dir() else model.suffix.lower() in SUFFIXES
    if not supported:
        raise TrainingError(f"--import {model}: unknown model format; expected {FORMATS}")
