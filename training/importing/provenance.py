"""Where an imported model comes from: the version of Keras that saved it, and its SHA-256."""

import hashlib
import json
import zipfile
from pathlib import Path

import h5py


def keras_version(path: Path) -> str:
    """Return "Keras" and the version that saved the file, if the file has it."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as file:
            version = json.loads(file.read("metadata.json")).get("keras_version")
    else:
        with h5py.File(path) as file:
            version = file.attrs.get("keras_version")
    return f"Keras {version}" if version else "Keras"


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file; for a folder, that of the output of `sha256sum` for its files, sorted by name."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    files = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
    lines = "".join(f"{hashlib.sha256((path / name).read_bytes()).hexdigest()}  {name}\n" for name in files)
    return hashlib.sha256(lines.encode()).hexdigest()
