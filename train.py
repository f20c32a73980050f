"""Train an image classifier and write the bundle that serves it.

    python train.py                             # a small CNN on 10,000 Fashion-MNIST pictures: 2 minutes on two cores
    python train.py --data fashion_mnist        # on all 60,000: under 10 minutes
    python train.py --data photos               # on your photos: photos/cat/*.jpg, photos/dog/*.jpg, ...
    python train.py --pretrained                # EfficientNet-Lite0 as it is: the 1,000 ImageNet classes, no training
    python train.py --import MODEL --labels FILE    # a Keras, SavedModel or LiteRT model made elsewhere, no training

Then serve it, as the last line says: MODEL=model/fashion-mnist make run
"""

import argparse
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from app.bundle import BundleError, is_replaceable
from training import TrainingError
from training.importing import arguments as importing
from training.quiet import quiet

# name          value               what it is
DATA = "subset"  #                  or fashion_mnist, or a folder with one subfolder of pictures for each class
BACKBONE = {"fashion": "cnn", "folder": "efficientnet-lite0"}
EPOCHS = {"subset": 14, "fashion_mnist": 9, "efficientnet-lite0": 40, "cnn": 40}
IMAGE_SIZE = {"fashion": 28, "efficientnet-lite0": 224, "cnn": 96}  # pixels, square
RESIZE = {"efficientnet-lite0": "center-crop:0.875", "cnn": "stretch"}  # as app.images.decode understands it
BATCH_SIZE = {"fashion": 64, "folder": 16}  # small sets like small batches
SEED = 1
LIMITS = {"epochs": (1, 1000), "image_size": (16, 512), "batch_size": (1, 1024), "seed": (0, 2**31 - 1)}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line; what is left out gets the default of its data set."""
    parser = argparse.ArgumentParser(
        prog="train.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.error = _refuse
    add = parser.add_argument
    add("--data", metavar="DATA", help=f"subset, fashion_mnist or a folder of class folders (default: {DATA})")
    add("--out", type=Path, metavar="FOLDER", help="where the bundle goes (default: model/<data set's name>)")
    add("--pretrained", action="store_true", help="write the ImageNet bundle without training")
    add(
        "--backbone",
        choices=("cnn", "efficientnet-lite0"),
        help="default: cnn for Fashion-MNIST, else efficientnet-lite0",
    )
    add("--epochs", type=int, help="default: " + ", ".join(f"{n} ({key})" for key, n in EPOCHS.items()))
    add("--image-size", type=int, metavar="PIXELS", help="of your photos; default: 224 (efficientnet-lite0), 96 (cnn)")
    add("--batch-size", type=int, help="default: 64 for Fashion-MNIST, 16 for your photos")
    add("--seed", type=int, help=f"the same seed gives the same bundle on the same machine (default: {SEED})")
    importing.add(add)
    args = parser.parse_args(arguments)
    _check_mode(args)
    for name, (low, high) in LIMITS.items():
        value = getattr(args, name) if not args.model else None
        if value is not None and not low <= value <= high:
            raise TrainingError(f"--{name.replace('_', '-')} {value} is out of range: choose {low} to {high}")
    if args.model:
        args.out = args.out or Path("model") / args.model.stem
    if args.out and not is_replaceable(args.out):
        raise TrainingError(f"--out {args.out} exists and is no bundle: name a new folder, or one that train.py wrote")
    if args.model:
        args.request = importing.check(args)
        return args
    args.data = args.data or DATA
    kind = "fashion" if args.data in ("subset", "fashion_mnist") else "folder"
    args.backbone = args.backbone or BACKBONE[kind]
    if kind == "fashion" and args.backbone != "cnn":
        raise TrainingError(f"--backbone {args.backbone} wants photos, Fashion-MNIST is grey and 28x28: use cnn")
    if kind == "fashion" and args.image_size not in (None, IMAGE_SIZE["fashion"]):
        raise TrainingError(f"--image-size {args.image_size}: Fashion-MNIST is 28x28: leave it out, or use your photos")
    if args.backbone != "cnn" and args.image_size is not None and args.image_size < 64:
        raise TrainingError(f"--image-size {args.image_size} is too small for {args.backbone}: choose 64 to 512")
    args.epochs = args.epochs or EPOCHS[args.data if kind == "fashion" else args.backbone]
    args.image_size = args.image_size or IMAGE_SIZE["fashion" if kind == "fashion" else args.backbone]
    args.batch_size = args.batch_size or BATCH_SIZE[kind]
    args.seed = SEED if args.seed is None else args.seed
    return args


def run(args: argparse.Namespace) -> None:
    """Load, fit, write. TensorFlow is imported after the data is known to be good."""
    if args.model:
        _load_tensorflow()
        from training.importing import imported

        out = args.out
        imported.write(out, args.request)
    elif args.pretrained:
        _load_tensorflow()
        from training import pretrained

        out = args.out or Path("model") / pretrained.NAME
        pretrained.write(out)
    else:
        from training import fashion_mnist, folders

        folder = None
        if args.data in ("subset", "fashion_mnist"):
            dataset = fashion_mnist.load(full=args.data == "fashion_mnist", seed=args.seed)
        else:
            folder = Path(args.data)
            dataset = folders.load(folder, args.image_size, RESIZE[args.backbone], args.seed)
        out = args.out or Path("model") / dataset.name
        print(f"{dataset.title}: {len(dataset.labels)} classes, {len(dataset.train):,} pictures to train on, "
              f"{len(dataset.validation):,} to validate, {len(dataset.test):,} to test")  # fmt: skip
        _load_tensorflow()
        from training import fitting, trained

        fitting.set_seed(args.seed)
        fit = fitting.from_scratch if args.backbone == "cnn" else fitting.on_frozen_features
        trained.write(out, dataset, fit(dataset, args.epochs, args.batch_size), args.seed, folder)
    print(f"\nServe it:  MODEL={out} make run")


def main(arguments: list[str] | None = None) -> int:
    """Run, and turn every trouble into one line and an exit code."""
    interrupted = []

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not disturb the tidying up
        interrupted.append(True)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        run(parse(arguments))
    except (TrainingError, BundleError) as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(
            f"{error.filename or 'file'}: {error.strerror or error}: check the path, its permissions and the disk"
        )
    except BaseException:  # TensorFlow's import wraps a KeyboardInterrupt in errors of its own
        if not interrupted:
            raise
        print("\ntrain.py: interrupted; nothing was changed", file=sys.stderr)
        return 130
    return 0


def _check_mode(args: argparse.Namespace) -> None:
    """Refuse options that have no effect together."""
    given = [name for name in ("data", "backbone", *LIMITS, *importing.ONLY_HERE) if getattr(args, name) is not None]
    if args.model:
        mode, allowed = "--import", (*importing.ONLY_HERE, "image_size")
        given += ["pretrained"] if args.pretrained else []
    else:
        mode, allowed = "--pretrained", ()
        if strange := [name for name in given if name in importing.ONLY_HERE]:
            raise TrainingError(f"--{strange[0]} goes with --import MODEL: say which model, or leave it out")
    idle = [name.replace("_", "-") for name in given if name not in allowed]
    if idle and (args.model or args.pretrained):
        raise TrainingError(f"{mode} trains nothing, so --{idle[0]} has no effect: leave it out")


def _load_tensorflow() -> None:
    """Import TensorFlow, without the notices about the CPU that it prints before any log level counts."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    print("Loading TensorFlow ...", flush=True)
    with quiet():
        import tensorflow  # noqa: F401


def _refuse(message: str) -> None:
    raise TrainingError(f"{message}; see train.py --help")


def _fail(message: str) -> int:
    print(f"train.py: error: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
