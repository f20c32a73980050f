"""A folder with one subfolder of images per class as a data set: `photos/cat/1.jpg`, `photos/dog/2.jpg`, ..."""

import os
from collections import Counter
from pathlib import Path

import numpy as np

from app import images
from training import TrainingError
from training.datasets import Dataset, Split, check_labels, stratified_parts
from training.progress import progress

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp"}
FRACTIONS = (0.15, 0.15)  # shares of each class for test and validation; the rest is for training
MIN_CLASS_SIZE = 3  # images: one for each split
MAX_LISTED = 5  # unreadable files listed by name; the others are only counted


def load(folder: Path, size: int, resize: str, seed: int) -> Dataset:
    """Decode every image in the class folders to `size` x `size` pixels, as the server does, and split them.

    `resize`: see `app.images.decode`. Files that cannot be decoded are listed, counted and skipped. Raises
    TrainingError if the folder has no class folders, or a class has fewer than MIN_CLASS_SIZE readable images.
    """
    found = _find(folder)
    _check_memory(folder, len(found), size)
    pixels, targets, files, skipped = [], [], [], []
    labels = tuple(dict.fromkeys(label for _, label in found))
    for path, label in progress(found, "Decoding", "images"):
        name = path.relative_to(folder).as_posix()
        try:
            pixels.append(np.asarray(images.decode(path.read_bytes(), size, size, resize).pixels))
        except (images.ImageError, OSError) as error:
            skipped.append(f"{name}: {error}")
            continue
        targets.append(labels.index(label))
        files.append(name)
    _print_skipped(skipped)
    _check_class_sizes(folder, labels, targets)
    stacked, classes = np.stack(pixels), np.array(targets, np.int64)
    test, validation, train = stratified_parts(classes, FRACTIONS, seed)
    name = folder.resolve().name
    return Dataset(
        name=name,
        title=name,
        labels=labels,
        train=Split(stacked[train], classes[train]),
        validation=Split(stacked[validation], classes[validation]),
        test=Split(stacked[test], classes[test]),
        resize=resize,
        origin=f"The images in the folder `{name}`, provided by the person who trained this model.",
        files=tuple(files[i] for i in test),
        skipped=tuple(skipped),
    )


def is_image_file(path: Path) -> bool:
    """Whether `path` is a file with the suffix of an image format, and not hidden."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def _find(folder: Path) -> list[tuple[Path, str]]:
    """Return (path, label) of every image file, in a stable order; the labels are the names of the class folders."""
    if not folder.exists():
        raise TrainingError(
            f"--data {folder}: no such folder; give a folder with one subfolder of images per class, or fashion_mnist"
        )
    if not folder.is_dir():
        raise TrainingError(f"--data {folder}: not a folder; give the folder that contains the class folders")
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    found = [(path, label.name) for label in classes for path in sorted(label.rglob("*")) if is_image_file(path)]
    if not found:
        loose = sum(is_image_file(path) for path in folder.iterdir())
        what = f"{loose} {_plural('image', loose)} but no class folders" if loose else "no images"
        raise TrainingError(
            f"--data {folder}: found {what}; put the images of each class in a subfolder named after the class"
        )
    labels = dict.fromkeys(label for _, label in found)
    empty = [path.name for path in classes if path.name not in labels]
    if empty:
        raise TrainingError(f"--data {folder}: the class folder {empty[0]!r} has no images; add some or remove it")
    check_labels(tuple(labels), f"--data {folder}")
    return found


def _check_memory(folder: Path, count: int, size: int) -> None:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    needed = count * size * size * 3
    if needed > memory // 2:
        raise TrainingError(
            f"--data {folder}: {count:,} images of {size}x{size} pixels need {needed / 2**30:.1f} GB, more than half "
            f"of this machine's {memory / 2**30:.1f} GB; use a smaller --image-size or a larger machine"
        )


def _check_class_sizes(folder: Path, labels: tuple[str, ...], targets: list[int]) -> None:
    sizes = Counter(targets)
    smallest = min(range(len(labels)), key=lambda index: sizes[index])
    count = sizes[smallest]
    if count < MIN_CLASS_SIZE:
        raise TrainingError(
            f"--data {folder}: the class {labels[smallest]!r} has {count} readable {_plural('image', count)}, "
            f"expected at least {MIN_CLASS_SIZE} (for training, validation and test); add images or remove the folder"
        )


def _print_skipped(skipped: list[str]) -> None:
    if skipped:
        print(f"Skipped {len(skipped)} unreadable {_plural('file', len(skipped))}:")
        for line in skipped[:MAX_LISTED]:
            print(f"  {line}")
        if len(skipped) > MAX_LISTED:
            print(f"  ... and {len(skipped) - MAX_LISTED} more")


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"
