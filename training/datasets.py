"""An image data set in memory: three stratified splits of images of one size."""

from dataclasses import dataclass, field

import numpy as np

from training import TrainingError

MAX_SAMPLES = 8  # sample images in a bundle
SAMPLE_SIDE = 1024  # pixels; the longer side of a sample image is reduced to this
LUMA = (0.299, 0.587, 0.114)  # weights of R, G and B in a grey value: ITU-R BT.601, as Pillow's conversion to "L"


@dataclass(frozen=True)
class Split:
    """`images`: uint8 (n, height, width, 3), or 1 channel for grey. `classes`: int64 (n,), 0 to labels - 1."""

    images: np.ndarray
    classes: np.ndarray

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.classes)

    def rgb(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return images `start` to `stop` as network input: float32 RGB (n, height, width, 3), 0-255."""
        images = self.images[start:stop].astype(np.float32)
        return np.repeat(images, 3, axis=3) if images.shape[3] == 1 else images


@dataclass(frozen=True)
class Dataset:
    """Images to train on, to choose the best epoch with (`validation`) and to measure the metrics on (`test`).

    `resize`: how `app.images.decode` resizes an image to `size`.
    `origin`: Markdown; where the images come from, and their licence.
    `files`: the paths of the test images relative to the data folder; empty if the data set is not a folder.
    `skipped`: one line for each file that could not be decoded.
    """

    name: str
    title: str
    labels: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    resize: str
    origin: str
    files: tuple[str, ...] = ()
    skipped: tuple[str, ...] = field(default=())

    @property
    def size(self) -> tuple[int, int]:
        """Return (height, width) in pixels."""
        _, height, width, _ = self.train.images.shape
        return height, width

    @property
    def grey(self) -> bool:
        """Whether the images have one channel."""
        return self.train.images.shape[3] == 1


def stratified_parts(classes: np.ndarray, fractions: tuple[float, ...], seed: int) -> list[np.ndarray]:
    """Split indices at random into `len(fractions) + 1` parts, with the same fractions of every class.

    `classes`: int (n,). Of the `count` images of a class, each part except the last gets max(1, round(fraction x
    count)), as long as one image is left for the last part; the last part gets the rest. Returns the sorted indices of
    each part; the same `seed` gives the same split.
    """
    generator = np.random.default_rng(seed)
    parts: list[list[np.ndarray]] = [[] for _ in range(len(fractions) + 1)]
    for label in np.unique(classes):
        indices = generator.permutation(np.flatnonzero(classes == label))
        for part, fraction in zip(parts, fractions, strict=False):
            count = min(max(1, round(fraction * np.count_nonzero(classes == label))), len(indices) - 1)
            part.append(indices[:count])
            indices = indices[count:]
        parts[-1].append(indices)
    return [np.sort(np.concatenate(part)) for part in parts]


def check_labels(labels: tuple[str, ...], where: str) -> None:
    """Check that there are two labels or more, each valid as a line of a text file. Raises TrainingError."""
    if len(labels) < 2:
        found = f"only {labels[0]!r}" if labels else "none"
        raise TrainingError(f"{where}: expected at least two classes, found {found}; add another class folder")
    for label in labels:
        check_label(label, where)


def check_label(label: str, where: str) -> None:
    """Check that a label is valid as one line of a text file. `where` begins the message. Raises TrainingError."""
    if not label.strip() or label != label.strip() or len(label.splitlines()) != 1:
        raise TrainingError(
            f"{where}: invalid class name {label!r}: expected one line without white space at its ends; rename it"
        )
    try:
        label.encode("utf-8")
    except UnicodeEncodeError:
        raise TrainingError(f"{where}: invalid class name {label!r}: expected valid UTF-8; rename it") from None
