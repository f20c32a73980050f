"""Fashion-MNIST (Zalando SE, MIT licence): the committed subset, the full set, and the script that makes the subset.

    apt-get install dataset-fashion-mnist
    python -m training.fashion_mnist

write the subset to `training/data/`.
"""

import gzip
import sys
from pathlib import Path

import numpy as np

from training import TrainingError
from training.datasets import Dataset, Split, stratified_parts

LABELS = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
SUBSET = Path(__file__).parent / "data" / "fashion-mnist-subset.npz"
SUBSET_SIZE = {"train": 10_000, "t10k": 2_000}  # images of each split, by its name in the IDX files
SUBSET_SEED = 1
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
VALIDATION = 0.1  # share of the training images; test images are never used to choose anything
ORIGIN = """\
[Fashion-MNIST](https://github.com/zalandoresearch/fashion-mnist), Copyright (c) 2017 Zalando SE, MIT licence
(`training/data/LICENSE`): photographs of garments from Zalando's catalogue, grey on black, 28x28 pixels."""


def read_idx(path: Path) -> np.ndarray:
    """Read a gzipped IDX file (http://yann.lecun.com/exdb/mnist/): uint8, labels (n,) or images (n, 28, 28).

    Byte 3 is the number of dimensions; the dimensions follow as big-endian uint32, then the values.
    """
    data = gzip.decompress(path.read_bytes())
    dimensions = data[3]
    shape = np.frombuffer(data, ">u4", dimensions, offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def read_debian() -> dict[str, np.ndarray]:
    """Read all 70,000 images from Debian's `dataset-fashion-mnist`. Raises OSError if a file is missing."""
    return {
        f"{split}_{kind}": read_idx(DEBIAN / f"{split}-{kind}-idx{dimensions}-ubyte.gz")
        for split in SUBSET_SIZE
        for kind, dimensions in (("images", 3), ("labels", 1))
    }


def download() -> dict[str, np.ndarray]:
    """Download all 70,000 images with Keras, which caches them in ~/.keras. Raises TrainingError."""
    import keras

    print("Downloading Fashion-MNIST (30 MB, cached in ~/.keras) ...", flush=True)
    try:
        (train_images, train_labels), (test_images, test_labels) = keras.datasets.fashion_mnist.load_data()
    except Exception as error:  # Keras raises a bare Exception for every network error
        reason = " ".join(str(error).split())
        raise TrainingError(
            f"--data fashion_mnist: cannot download the data set ({reason}); check the network connection, install "
            "Debian's package dataset-fashion-mnist, or omit --data to use the committed subset"
        ) from error
    return {
        "train_images": train_images,
        "train_labels": train_labels,
        "t10k_images": test_images,
        "t10k_labels": test_labels,
    }


def load(full: bool, seed: int) -> Dataset:
    """Load the committed subset of 12,000 images, or all 70,000; `seed` chooses the validation images."""
    if not full:
        with np.load(SUBSET, allow_pickle=False) as subset:
            arrays = dict(subset)
    else:
        arrays = read_debian() if DEBIAN.is_dir() else download()
    classes = arrays["train_labels"].astype(np.int64)
    images = arrays["train_images"][..., np.newaxis]
    validation, train = stratified_parts(classes, (VALIDATION,), seed)
    return Dataset(
        name="fashion-mnist",
        title="Fashion-MNIST" if full else "Fashion-MNIST, a stratified subset",
        labels=LABELS,
        train=Split(images[train], classes[train]),
        validation=Split(images[validation], classes[validation]),
        test=Split(arrays["t10k_images"][..., np.newaxis], arrays["t10k_labels"].astype(np.int64)),
        resize="stretch",
        origin=ORIGIN,
    )


def main() -> int:
    """Write the subset: from each of the two splits, the same number of images of every class."""
    arrays = read_debian()
    subset = {}
    for split, count in SUBSET_SIZE.items():
        classes = arrays[f"{split}_labels"]
        chosen, _ = stratified_parts(classes, (count / len(classes),), SUBSET_SEED)
        subset[f"{split}_images"], subset[f"{split}_labels"] = arrays[f"{split}_images"][chosen], classes[chosen]
    np.savez_compressed(SUBSET, **subset)
    print(f"{SUBSET.name}: {SUBSET.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
