"""Which model it was: its digest, and what made it."""

import hashlib
import json
import zipfile
from pathlib import Path

import h5py


def keras_version(path: Path) -> str:
    """Return which Keras wrote the file, as far as it says so."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as file:
            version = json.loads(file.read("metadata.json")).get("keras_version")
    else:
        with h5py.File(path) as file:
            version = file.attrs.get("keras_version")
    return f"Keras {version}" if version else "Keras"


def sha256(path: Path) -> str:
    """Return the digest of a file; of a folder, that of what `sha256sum` prints for its files, sorted by name."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    files = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
    lines = "".join(f"{hashlib.sha256((path / name).read_bytes()).hexdigest()}  {name}\n" for name in files)
    return hashlib.sha256(lines.encode()).hexdigest()
