"""A bundle: the folder with everything that is needed to serve one model. training/ writes it, app/ reads it."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

CARD = "model.json"
MODEL = "model.tflite"
LABELS = "labels.txt"
RESIZE = re.compile(r"stretch|center-crop:(1(\.0*)?|0?\.\d*[1-9]\d*)")
_NOT_SERVED = {CARD, "model.keras"}  # without a digest in the card: the card itself, and what only training reads


class BundleError(Exception):
    """The folder is not a bundle that can be served. The message is one line that says what is wrong, and where."""


@dataclass(frozen=True)
class Bundle:
    """`card` is the content of model.json; `labels[i]` is the name of class i."""

    path: Path
    card: dict
    labels: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.card["name"]

    @property
    def version(self) -> str:
        return self.card["version"]

    @property
    def width(self) -> int:
        return self.card["input"]["width"]

    @property
    def height(self) -> int:
        return self.card["input"]["height"]

    @property
    def resize(self) -> str:
        return self.card["resize"]

    @property
    def samples(self) -> list[dict]:
        """Held-out images: `[{"file", "label", "expected": {"label", "probability"}}]`; files relative to `path`."""
        return self.card["samples"]


def read(folder: Path | str) -> Bundle:
    """Read the bundle in `folder` and verify its card, its labels and the digest of every file. Raises BundleError."""
    folder = Path(folder)
    _restore(folder)
    if not folder.is_dir():
        raise BundleError(f"no bundle at {folder}: the folder does not exist; `make train` writes one")
    try:
        card = json.loads((folder / CARD).read_bytes())
    except FileNotFoundError:
        raise BundleError(f"{folder} is not a bundle: it has no {CARD}; `make train` writes one") from None
    except ValueError as error:
        raise BundleError(f"{folder / CARD} is not valid JSON ({error}): write the bundle again") from error
    _check_card(folder, card)
    for name, digest in card["files"].items():
        _check_digest(folder / name, digest)
    labels = tuple((folder / LABELS).read_text("utf-8").splitlines())
    if len(labels) != card["labels"]:
        raise BundleError(
            f"{folder / LABELS} has {len(labels)} labels, {CARD} says {card['labels']}: write the bundle again"
        )
    return Bundle(folder, card, labels)


@contextmanager
def writing(folder: Path | str) -> Iterator[Path]:
    """Yield an empty folder beside `folder`; after the block, verify it as `read` does, and rename it to `folder`.

    `folder` always holds either the whole old bundle or the whole new one. After an exception in the block the old
    one stays. After a crash between the two renames, the next `read` or `writing` restores the old one.
    Raises BundleError if `folder` holds something other than a bundle, which would be lost.
    """
    folder = Path(folder).resolve()
    _restore(folder)
    if not is_replaceable(folder):
        raise BundleError(f"{folder} exists and is not a bundle: choose another folder, or delete it first")
    folder.parent.mkdir(parents=True, exist_ok=True)
    staged, old = _beside(folder, "new"), _beside(folder, "old")
    shutil.rmtree(staged, ignore_errors=True)  # left behind by a run that was killed
    shutil.rmtree(old, ignore_errors=True)
    staged.mkdir()
    try:
        yield staged
        read(staged)
        _sync(staged)
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    if folder.exists():
        folder.rename(old)
    staged.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def is_replaceable(folder: Path) -> bool:
    """Whether a bundle may be written to `folder`: it does not exist, it is empty, or it holds a bundle."""
    return not folder.exists() or (folder.is_dir() and ((folder / CARD).exists() or not any(folder.iterdir())))


def write_card(staged: Path, card: dict) -> dict:
    """Add created (UTC), version and the digests of the files in `staged` to `card`, write it there, and return it."""
    now = datetime.now(UTC)
    files = sorted(path for path in staged.rglob("*") if path.is_file())
    digests = {path.relative_to(staged).as_posix(): _sha256(path) for path in files}
    card = {
        **card,
        "version": f"{now:%Y-%m-%d}-{digests[MODEL][:8]}",
        "created": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        "files": {name: digest for name, digest in digests.items() if name not in _NOT_SERVED},
    }
    (staged / CARD).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", "utf-8")
    return card


def _check_card(folder: Path, card: Any) -> None:
    """Check every field that the app reads. Raises BundleError."""

    def require(condition: bool, problem: str) -> None:
        if not condition:
            raise BundleError(f"invalid {folder / CARD}: {problem}; write the bundle again")

    require(isinstance(card, dict), "expected a JSON object")
    for field, kind in (
        *(("name", str), ("version", str), ("input", dict), ("resize", str)),
        *(("labels", int), ("files", dict), ("samples", list)),
    ):
        require(isinstance(card.get(field), kind), f"the field {field!r} is missing or not of type {kind.__name__}")
    for side in ("width", "height"):
        value = card["input"].get(side)
        require(isinstance(value, int) and 0 < value <= 4096, f"input.{side} is {value!r}, expected 1 to 4096")
    resize = card["resize"]
    require(bool(RESIZE.fullmatch(resize)), f"resize is {resize!r}, expected stretch or center-crop:0.875")
    for name in (MODEL, LABELS):
        require(name in card["files"], f"files has no digest of {name}")
    for sample in card["samples"]:
        is_complete = isinstance(sample, dict) and {"file", "label", "expected"} <= sample.keys()
        require(is_complete and sample["file"] in card["files"], f"the sample {sample!r} names no file with a digest")
        expected = sample["expected"]
        is_complete = isinstance(expected, dict) and isinstance(expected.get("probability"), float | int)
        require(
            is_complete and "label" in expected, f"the sample {sample['file']!r} has no expected label and probability"
        )
    for name in card["files"]:
        is_inside = not Path(name).is_absolute() and ".." not in Path(name).parts
        require(is_inside, f"the file {name!r} is outside the bundle")


def _check_digest(path: Path, digest: str) -> None:
    try:
        found = _sha256(path)
    except FileNotFoundError:
        raise BundleError(f"{path} is missing, but {CARD} lists it: write the bundle again") from None
    if found != digest:
        raise BundleError(f"{path} is damaged: its sha256 is {found[:8]}..., {CARD} says {str(digest)[:8]}...")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _beside(folder: Path, suffix: str) -> Path:
    return folder.parent / f".{folder.name}.{suffix}"


def _restore(folder: Path) -> None:
    """After a crash between the two renames of `writing`, there is no `folder`: rename the old bundle back."""
    old = _beside(folder, "old")
    if old.is_dir() and not folder.exists():
        old.rename(folder)


def _sync(folder: Path) -> None:
    """Write the files to the disk before the rename, so that a power failure cannot leave them half written."""
    for path in [*folder.rglob("*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
