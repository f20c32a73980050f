"""A folder of class subfolders as a data set: `photos/cat/1.jpg`, `photos/dog/2.jpg`, ..."""

import os
from pathlib import Path

import numpy as np

from app import images
from training import TrainingError
from training.datasets import Dataset, Split, check_labels, stratified_parts
from training.progress import progress

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp"}
FRACTIONS = (0.15, 0.15)  # of each class for test and for validation; the rest trains
SMALLEST_CLASS = 3  # one picture for each split
NAMED = 5  # unreadable files named in full; the rest is only counted


def load(folder: Path, size: int, resize: str, seed: int) -> Dataset:
    """Decode every picture below the class folders to `size` x `size`, as serving will, and split them.

    Files that cannot be decoded are named, counted and skipped. Raises TrainingError where too little is left.
    """
    found = _find(folder)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    needed = len(found) * size * size * 3
    if needed > memory // 2:
        raise TrainingError(
            f"--data {folder}: {len(found):,} pictures of {size}x{size} need {needed / 2**30:.1f} GB, over half of "
            f"this machine's {memory / 2**30:.1f} GB: use a smaller --image-size or a larger machine"
        )
    pixels, classes, files, skipped = [], [], [], []
    for path, label in progress(found, "Decoding", "pictures"):
        try:
            pixels.append(np.asarray(images.decode(path.read_bytes(), size, size, resize).pixels))
        except (images.ImageError, OSError) as error:
            skipped.append(f"{path.relative_to(folder)}: {error}")
            continue
        classes.append(label)
        files.append(path.relative_to(folder).as_posix())
    _report(skipped)
    counts: dict[str, int] = {label: 0 for _, label in found}
    for label in classes:
        counts[label] += 1
    few = {label: count for label, count in counts.items() if count < SMALLEST_CLASS}
    if few:
        label, count = min(few.items(), key=lambda item: item[1])
        raise TrainingError(
            f"--data {folder}: the class {label!r} has {count} readable {_plural('picture', count)}, at least "
            f"{SMALLEST_CLASS} are needed (one each to train, validate and test): add more or remove the folder"
        )
    labels = tuple(counts)
    targets = np.array([labels.index(label) for label in classes], np.int64)
    stacked = np.stack(pixels)
    test, validation, train = stratified_parts(targets, FRACTIONS, seed)
    return Dataset(
        name=folder.resolve().name,
        title=folder.resolve().name,
        labels=labels,
        train=Split(stacked[train], targets[train]),
        validation=Split(stacked[validation], targets[validation]),
        test=Split(stacked[test], targets[test]),
        resize=resize,
        origin=f"The pictures in the folder `{folder.resolve().name}` of whoever trained this model.",
        files=tuple(files[i] for i in test),
        skipped=tuple(skipped),
    )


def _find(folder: Path) -> list[tuple[Path, str]]:
    """Return (path, label) of every picture file, in a stable order; labels are the names of the class folders."""
    if not folder.exists():
        raise TrainingError(
            f"--data {folder}: no such folder: name one with a subfolder of pictures for each class, or fashion_mnist"
        )
    if not folder.is_dir():
        raise TrainingError(f"--data {folder} is a file: name the folder that holds the class folders")
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    found = [(path, label.name) for label in classes for path in sorted(label.rglob("*")) if is_picture(path)]
    if not found:
        loose = sum(is_picture(path) for path in folder.iterdir())
        what = f"{loose} {_plural('picture', loose)} but no class folders with pictures" if loose else "no pictures"
        raise TrainingError(
            f"--data {folder} has {what}: put each class's pictures in a subfolder named after the class"
        )
    with_pictures = dict.fromkeys(label for _, label in found)
    empty = [path.name for path in classes if path.name not in with_pictures]
    if empty:
        raise TrainingError(f"--data {folder}: the class folder {empty[0]!r} has no pictures: add some or remove it")
    check_labels(tuple(with_pictures), f"--data {folder}")
    return found


def is_picture(path: Path) -> bool:
    """Tell whether it is a file with the name of a picture."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def _report(skipped: list[str]) -> None:
    if skipped:
        print(f"Skipped {len(skipped)} unreadable {_plural('file', len(skipped))}:")
        for line in skipped[:NAMED]:
            print(f"  {line}")
        if len(skipped) > NAMED:
            print(f"  ... and {len(skipped) - NAMED} more")


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"
