"""A bundle: the folder with everything needed to serve one model. training/ writes it, app/ reads it."""

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

CARD = "model.json"
MODEL = "model.tflite"
LABELS = "labels.txt"
RESIZE = re.compile(r"stretch|center-crop:(1(\.0*)?|0?\.\d*[1-9]\d*)")
_NOT_SERVED = {CARD, "model.keras"}  # the card cannot hold its own digest; model.keras stays with who trained it


class BundleError(Exception):
    """The folder is not a bundle that can be served; the message is one line saying what is wrong and where."""


@dataclass(frozen=True)
class Bundle:
    """`card` is model.json as it was read; `labels[i]` is the name of class i."""

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
        """Held-out pictures: `[{"file", "label", "expected": {"label", "probability"}}]`; files relative to `path`."""
        return self.card["samples"]


def read(folder: Path | str) -> Bundle:
    """Read the bundle in `folder` and verify its card, its labels and every file's digest. Raises BundleError."""
    folder = Path(folder)
    _restore(folder)
    if not folder.is_dir():
        raise BundleError(f"no bundle at {folder}: there is no such folder; `make train` writes one")
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
    """Yield an empty folder beside `folder`; when the block ends well it takes `folder`'s place in one rename.

    Whatever happens, `folder` holds the old bundle or the new one, whole: after an exception in the block the old one
    stays, and what a crash between the two renames leaves behind is put right by the next `read` or `writing`.
    Raises BundleError for a folder that holds something other than a bundle, which would be lost.
    """
    folder = Path(folder).resolve()
    _restore(folder)
    if not is_replaceable(folder):
        raise BundleError(f"{folder} exists and is not a bundle: choose another folder, or delete it first")
    folder.parent.mkdir(parents=True, exist_ok=True)
    staged, old = _beside(folder, "new"), _beside(folder, "old")
    shutil.rmtree(staged, ignore_errors=True)  # left by a run that was killed
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
    """Whether a bundle may be written to `folder`: there is nothing in it that would be lost, or a bundle."""
    return not folder.exists() or (folder.is_dir() and ((folder / CARD).exists() or not any(folder.iterdir())))


def write_card(staged: Path, card: dict) -> dict:
    """Complete `card` with created (UTC), version and the digests of the files in `staged`, and write it there."""
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


def _check_card(folder: Path, card: object) -> None:
    """Check the fields that serving reads, so that it can rely on them."""

    def require(condition: bool, what: str) -> None:
        if not condition:
            raise BundleError(f"{folder / CARD} cannot be used: {what}: write the bundle again")

    require(isinstance(card, dict), "it is not a JSON object")
    for field, kind in (
        *(("name", str), ("version", str), ("input", dict), ("resize", str)),
        *(("labels", int), ("files", dict), ("samples", list)),
    ):
        require(isinstance(card.get(field), kind), f"the field {field!r} is missing or not of type {kind.__name__}")
    for side in ("width", "height"):
        value = card["input"].get(side)
        require(isinstance(value, int) and 0 < value <= 4096, f"input.{side} is {value!r}, not a number from 1 to 4096")
    require(bool(RESIZE.fullmatch(card["resize"])), f"resize is {card['resize']!r}, not stretch or center-crop:0.875")
    for name in (MODEL, LABELS):
        require(name in card["files"], f"files has no digest of {name}")
    for sample in card["samples"]:
        usable = isinstance(sample, dict) and {"file", "label", "expected"} <= sample.keys()
        require(usable and sample["file"] in card["files"], f"the sample {sample!r} has no file with a digest")
    for name in card["files"]:
        require(
            not Path(name).is_absolute() and ".." not in Path(name).parts, f"the file {name!r} is not in the bundle"
        )


def _check_digest(path: Path, digest: str) -> None:
    try:
        found = _sha256(path)
    except FileNotFoundError:
        raise BundleError(f"{path} is missing, though {CARD} lists it: write the bundle again") from None
    if found != digest:
        raise BundleError(f"{path} is damaged: its sha256 is {found[:8]}..., {CARD} says {str(digest)[:8]}...")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _beside(folder: Path, suffix: str) -> Path:
    return folder.parent / f".{folder.name}.{suffix}"


def _restore(folder: Path) -> None:
    """A crash between the two renames of `writing` leaves no `folder`: put the old one back."""
    old = _beside(folder, "old")
    if old.is_dir() and not folder.exists():
        old.rename(folder)


def _sync(folder: Path) -> None:
    """Bring the files to the disk before the rename that makes them the bundle."""
    for path in [*folder.rglob("*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
