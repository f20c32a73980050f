"""What a data set is to us: three stratified splits of pictures in memory, all of one size."""

from dataclasses import dataclass, field

import numpy as np

from training import TrainingError

SAMPLES = 8  # pictures that go with a bundle
SAMPLE_SIDE = 1024  # pixels of the longer side at most
LUMA = (0.299, 0.587, 0.114)  # of RGB: ITU-R BT.601, as Pillow's conversion to "L"


@dataclass(frozen=True)
class Split:
    """`images`: uint8 (n, height, width, 3), or 1 for grey. `classes`: int64 (n,), 0 to labels - 1."""

    images: np.ndarray
    classes: np.ndarray

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.classes)

    def rgb(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return pictures `start` to `stop` as the network takes them: float32 RGB (n, height, width, 3), 0-255."""
        images = self.images[start:stop].astype(np.float32)
        return np.repeat(images, 3, axis=3) if images.shape[3] == 1 else images


@dataclass(frozen=True)
class Dataset:
    """Pictures to train on, to choose the best epoch by (`validation`), and to measure with (`test`).

    `resize` is how `app.images.decode` brings a picture to this size. `origin` says in Markdown where the pictures come
    from and under which licence. `files` names the test pictures, where they are files; `skipped` those not readable.
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
        return self.train.images.shape[1:3]

    @property
    def grey(self) -> bool:
        """Tell whether the pictures have no colour."""
        return self.train.images.shape[3] == 1


def stratified_parts(classes: np.ndarray, fractions: tuple[float, ...], seed: int) -> list[np.ndarray]:
    """Shuffle indices and deal them out so that each part has its fraction of every class.

    Of each class every part but the last gets round(fraction x count), at least one where the class has enough images
    to leave one for the last; the last part gets the rest. Returns the sorted indices of each part,
    the same for the same `seed`.
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
    """Check that the names can be lines of a file, one a class; TrainingError otherwise."""
    if len(labels) < 2:
        found = f"only {labels[0]!r}" if labels else "none"
        raise TrainingError(
            f"{where}: a classifier needs at least two classes, found {found}: add another class folder"
        )
    for label in labels:
        check_label(label, where)


def check_label(label: str, where: str) -> None:
    """Check that the name can be one line of a file; TrainingError otherwise."""
    if not label.strip() or label != label.strip() or len(label.splitlines()) != 1:
        raise TrainingError(f"{where}: the class name {label!r} starts, ends or breaks with white space: rename it")
    try:
        label.encode("utf-8")
    except UnicodeEncodeError:
        raise TrainingError(f"{where}: the class name {label!r} is not valid UTF-8: rename it") from None
