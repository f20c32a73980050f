"""Train an image classifier and write the bundle that serves it.

    python train.py                             # a small CNN on 10,000 Fashion-MNIST images: 2 minutes on two cores
    python train.py --data fashion_mnist        # the same CNN on all 60,000: under 10 minutes
    python train.py --data photos               # your photos: photos/cat/*.jpg, photos/dog/*.jpg, ...
    python train.py --pretrained                # EfficientNet-Lite0 as published, 1,000 ImageNet classes; no training
    python train.py --import MODEL --labels FILE    # an existing Keras, SavedModel or LiteRT model; no training

Then serve the bundle. The last line of the output is the command, for example: MODEL=model/fashion-mnist make run
"""

import argparse
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import NamedTuple, NoReturn

from app.bundle import BundleError, is_replaceable
from training import TrainingError
from training.importing import arguments as import_arguments
from training.stderr_capture import capture_stderr


class Defaults(NamedTuple):
    """The default options for one data set and backbone."""

    epochs: int
    image_size: int  # pixels; images are square
    batch_size: int
    resize: str  # see app.images.decode; not an option of the command line


# ----------------------------------------------------------------------------------------------------------------------
# Defaults. Options on the command line override them.
DATA = "subset"  # 12,000 Fashion-MNIST images; or fashion_mnist (all 70,000), or a folder with one subfolder per class
SEED = 1  # the same seed gives the same bundle on the same machine
DEFAULTS = {  # the first row of a data set names its default backbone
    ("subset", "cnn"): Defaults(14, 28, 64, "stretch"),  # 90 % accuracy in 2 minutes on two cores
    ("fashion_mnist", "cnn"): Defaults(9, 28, 64, "stretch"),  # 93 % in 6 minutes; more images need fewer epochs
    ("folder", "efficientnet-lite0"): Defaults(40, 224, 16, "center-crop:0.875"),  # pretrained: only a new last layer
    ("folder", "cnn"): Defaults(40, 96, 16, "stretch"),  # from scratch; small batches because such sets are small
}
LIMITS = {"epochs": (1, 1000), "image_size": (16, 512), "batch_size": (1, 1024), "seed": (0, 2**31 - 1)}
MIN_EFFICIENTNET_SIZE = 64  # pixels; EfficientNet-Lite0 divides width and height by 32
# ----------------------------------------------------------------------------------------------------------------------

BACKBONES = sorted({backbone for _, backbone in DEFAULTS})


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse and check the command line, and fill in the defaults. Raises TrainingError."""
    args = _build_parser().parse_args(arguments)
    _check_combination(args)
    if args.model:
        args.out = args.out or Path("model") / args.model.stem
    else:  # --import has its own limits
        _check_limits(args)
    if args.out and not is_replaceable(args.out):
        raise TrainingError(
            f"--out {args.out} exists and is not a bundle; give a new folder, or one that train.py wrote"
        )
    if args.model:
        args.import_options = import_arguments.check(args)
    else:
        _apply_defaults(args)
    return args


def run(args: argparse.Namespace) -> None:
    """Write the bundle that the command line describes. Data and options are checked before TensorFlow is imported."""
    if args.model:
        _import_tensorflow()
        from training.importing import importer

        out = args.out
        importer.import_model(out, args.import_options)
    elif args.pretrained:
        _import_tensorflow()
        from training import pretrained

        out = args.out or Path("model") / pretrained.NAME
        pretrained.write(out)
    else:
        out = _train(args)
    print(f"\nServe it:  MODEL={out} make run")


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code: 0, 2 after an error in one line, 130 after Ctrl-C."""
    interrupted = False

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        nonlocal interrupted
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not interrupt the clean-up
        interrupted = True
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        run(parse(arguments))
    except (TrainingError, BundleError) as error:
        return _fail(str(error))
    except OSError as error:
        reason = error.strerror or error
        return _fail(f"{error.filename or 'file'}: {reason}; check the path, its permissions and the free disk space")
    except BaseException:  # importing TensorFlow turns KeyboardInterrupt into other exceptions
        if not interrupted:
            raise
        print("\ntrain.py: interrupted; nothing was changed", file=sys.stderr)
        return 130
    return 0


def _train(args: argparse.Namespace) -> Path:
    """Load the data set, train, and write the bundle; returns its folder."""
    from training import fashion_mnist, image_folder

    folder = None
    if args.data in ("subset", "fashion_mnist"):
        dataset = fashion_mnist.load(full=args.data == "fashion_mnist", seed=args.seed)
    else:
        folder = Path(args.data)
        dataset = image_folder.load(folder, args.image_size, args.resize, args.seed)
    print(
        f"{dataset.title}: {len(dataset.labels)} classes, {len(dataset.train):,} training images, "
        f"{len(dataset.validation):,} validation images, {len(dataset.test):,} test images"
    )
    _import_tensorflow()
    from training import trained_bundle, trainer

    trainer.set_seed(args.seed)
    fit = trainer.train_cnn if args.backbone == "cnn" else trainer.train_last_layer
    out: Path = args.out or Path("model") / dataset.name
    trained_bundle.write(out, dataset, fit(dataset, args.epochs, args.batch_size), args.seed, folder)
    return out


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise TrainingError(f"{message}; see train.py --help")


def _build_parser() -> argparse.ArgumentParser:
    def defaults(option: str) -> str:
        values: dict[int, list[str]] = {}
        for (data, backbone), row in DEFAULTS.items():
            values.setdefault(getattr(row, option), []).append(f"{data} with {backbone}")
        return "default: " + "; ".join(f"{value} ({', '.join(rows)})" for value, rows in values.items())

    parser = _Parser(
        prog="train.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add = parser.add_argument
    add("--data", metavar="DATA", help=f"subset, fashion_mnist, or a folder of class folders (default: {DATA})")
    add("--out", type=Path, metavar="FOLDER", help="the bundle's folder (default: model/<name of the data set>)")
    add("--pretrained", action="store_true", help="write the ImageNet bundle without training")
    add("--backbone", choices=BACKBONES, help="default: cnn for Fashion-MNIST, efficientnet-lite0 for a folder")
    add("--epochs", type=int, help=defaults("epochs"))
    add("--image-size", type=int, metavar="PIXELS", help=f"width and height of the input; {defaults('image_size')}")
    add("--batch-size", type=int, help=defaults("batch_size"))
    add("--seed", type=int, help=f"the same seed gives the same bundle on the same machine (default: {SEED})")
    import_arguments.add_arguments(parser)
    return parser


def _check_combination(args: argparse.Namespace) -> None:
    """Reject options that have no effect together."""
    only_import = import_arguments.OPTIONS
    given = [name for name in ("data", "backbone", *LIMITS, *only_import) if getattr(args, name) is not None]
    if args.model:
        mode = "--import"
        unused = [name for name in given if name not in (*only_import, "image_size")]
        unused += ["pretrained"] if args.pretrained else []
    else:
        mode = "--pretrained"
        unused = given if args.pretrained else []
        for name in given:
            if name in only_import:
                raise TrainingError(f"--{name} needs --import MODEL; add it, or omit --{name}")
    if unused:
        option = unused[0].replace("_", "-")
        raise TrainingError(f"{mode} does not train, so --{option} has no effect; omit --{option}")


def _check_limits(args: argparse.Namespace) -> None:
    for name, (low, high) in LIMITS.items():
        value = getattr(args, name)
        if value is not None and not low <= value <= high:
            raise TrainingError(f"invalid --{name.replace('_', '-')} {value}: expected a number from {low} to {high}")


def _apply_defaults(args: argparse.Namespace) -> None:
    """Fill in the options that were not given; raises TrainingError if data set, backbone and size do not fit."""
    args.data = args.data or DATA
    kind = args.data if args.data in ("subset", "fashion_mnist") else "folder"
    args.backbone = args.backbone or next(backbone for data, backbone in DEFAULTS if data == kind)
    size = args.image_size
    if (kind, args.backbone) not in DEFAULTS:
        raise TrainingError(
            f"invalid --backbone {args.backbone} for Fashion-MNIST: its images are grey, 28x28 pixels; use cnn"
        )
    row = DEFAULTS[kind, args.backbone]
    if kind != "folder" and size not in (None, row.image_size):
        raise TrainingError(
            f"invalid --image-size {size} for Fashion-MNIST: its images are 28x28 pixels; omit --image-size"
        )
    if args.backbone == "efficientnet-lite0" and size is not None and size < MIN_EFFICIENTNET_SIZE:
        raise TrainingError(
            f"invalid --image-size {size} for {args.backbone}: "
            f"expected a number from {MIN_EFFICIENTNET_SIZE} to {LIMITS['image_size'][1]}"
        )
    for name, value in row._asdict().items():
        if name == "resize" or getattr(args, name) is None:
            setattr(args, name, value)
    args.seed = SEED if args.seed is None else args.seed


def _import_tensorflow() -> None:
    """Import TensorFlow without the CPU notices that it prints before any log level applies."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    print("Loading TensorFlow ...", flush=True)
    with capture_stderr():
        import tensorflow  # noqa: F401


def _fail(message: str) -> int:
    print(f"train.py: error: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
