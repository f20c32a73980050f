"""The sample images of an imported model: loose in a folder, or in one subfolder per label."""

from pathlib import Path
from typing import NamedTuple

from app import images
from training import TrainingError
from training.datasets import MAX_SAMPLES, SAMPLE_SIDE
from training.image_folder import is_image_file


class Sample(NamedTuple):
    """An image file, and its label if it is in a label's subfolder."""

    path: Path
    label: str | None


def find(folder: Path, labels: tuple[str, ...]) -> list[Sample]:
    """Choose up to MAX_SAMPLES readable images, first one of each label. Raises TrainingError."""
    where = f"--samples {folder}"
    if not folder.is_dir():
        raise TrainingError(f"{where}: no such folder; give one with images, or with one subfolder of images per label")
    groups = [[Sample(path, None) for path in _image_files(folder)]]
    for subfolder in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        if paths := _image_files(subfolder):
            if subfolder.name not in labels:
                raise TrainingError(f"{where}: the subfolder {subfolder.name!r} is not one of the labels; rename it")
            groups.append([Sample(path, subfolder.name) for path in paths])
    ordered = [group[index] for index in range(MAX_SAMPLES) for group in groups if index < len(group)]
    if not ordered:
        raise TrainingError(f"{where}: no images found; give a folder with images, or omit --samples")
    chosen = ordered[:MAX_SAMPLES]
    for sample in chosen:
        try:
            images.preview(sample.path.read_bytes(), SAMPLE_SIDE)
        except images.ImageError as error:
            raise TrainingError(f"{where}: {sample.path.name}: {error}") from error
    return chosen


def write(staged: Path, samples: list[Sample]) -> dict[str, str | None]:
    """Write the images to `staged`/samples as JPEG, at most SAMPLE_SIDE pixels wide and high; returns {file: label}."""
    if not samples:
        return {}
    (staged / "samples").mkdir()
    written = {}
    for number, sample in enumerate(samples, 1):
        name = f"samples/{number}.jpg"
        images.preview(sample.path.read_bytes(), SAMPLE_SIDE).save(staged / name, quality=88, optimize=True)
        written[name] = sample.label
    return written


def _image_files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if is_image_file(path)]
