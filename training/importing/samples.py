"""The sample pictures that go with an imported model: loose in a folder, or in one subfolder a label."""

from pathlib import Path
from typing import NamedTuple

from app import images
from training import TrainingError
from training.datasets import SAMPLE_SIDE, SAMPLES
from training.folders import is_picture


class Sample(NamedTuple):
    """A picture, and its label where the folder says it."""

    path: Path
    label: str | None


def find(folder: Path, labels: tuple[str, ...]) -> list[Sample]:
    """Choose up to SAMPLES readable pictures, one of each label while there are enough. Raises TrainingError."""
    where = f"--samples {folder}"
    if not folder.is_dir():
        raise TrainingError(
            f"{where}: no such folder: name one with pictures, or with a subfolder of them for each label"
        )
    below = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    groups = [[Sample(path, None) for path in _pictures(folder)]]
    for subfolder in below:
        if pictures := _pictures(subfolder):
            if subfolder.name not in labels:
                raise TrainingError(f"{where}: the subfolder {subfolder.name!r} is none of the labels: rename it")
            groups.append([Sample(path, subfolder.name) for path in pictures])
    chosen = []
    for turn in range(SAMPLES):
        chosen += [group[turn] for group in groups if turn < len(group)]
    if not chosen:
        raise TrainingError(f"{where} has no pictures: name a folder with some, or leave the option out")
    for sample in chosen[:SAMPLES]:
        try:
            images.preview(sample.path.read_bytes(), SAMPLE_SIDE)
        except images.ImageError as error:
            raise TrainingError(f"{where}: {sample.path.name}: {error}") from error
    return chosen[:SAMPLES]


def write(staged: Path, samples: list[Sample]) -> dict[str, str | None]:
    """Write the pictures, no larger than a page shows them, and return {file: label}."""
    if not samples:
        return {}
    (staged / "samples").mkdir()
    written = {}
    for number, sample in enumerate(samples, 1):
        name = f"samples/{number}.jpg"
        images.preview(sample.path.read_bytes(), SAMPLE_SIDE).save(staged / name, quality=88, optimize=True)
        written[name] = sample.label
    return written


def _pictures(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if is_picture(path)]
