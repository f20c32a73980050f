"""Value ranges: what a network was trained on, as an affine map of RGB 0-255, and how to tell it."""

from dataclasses import dataclass

import numpy as np

from training import TrainingError
from training.datasets import LUMA

_STD = np.array((0.229, 0.224, 0.225)) * 255
# name: (scale, offset, channels reversed), value = scale * pixel + offset; the last two as Keras' preprocess_input
RANGES = {
    "0-255": (1.0, 0.0, False),
    "0-1": (1 / 255, 0.0, False),
    "+-1": (1 / 127.5, -1.0, False),
    "torch": (1 / _STD, -np.array((0.485, 0.456, 0.406)) * 255 / _STD, False),
    "caffe": (1.0, -np.array((103.939, 116.779, 123.68)), True),
}
CHOICES = (
    "0-255, 0-1, +-1 (-1 to 1), torch (0-1, less ImageNet's mean, by its deviation) or caffe (BGR 0-255 less the mean)"
)
PLAIN = ("0-255", "0-1", "+-1")


@dataclass(frozen=True)
class Range:
    """`matrix` (channels, 3) @ RGB 0-255 + `offset` (channels,) is what the network takes. `found`: how it is known."""

    matrix: np.ndarray
    offset: np.ndarray
    name: str
    found: str

    @property
    def identity(self) -> bool:
        """Tell whether the network takes RGB 0-255 as it is."""
        return self.matrix.shape == (3, 3) and np.array_equal(self.matrix, np.eye(3)) and not self.offset.any()

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """Bring uint8 (n, height, width, 3) to float32 (n, height, width, channels)."""
        return (pixels.astype(np.float64) @ self.matrix.T + self.offset).astype(np.float32)


def named(name: str, channels: int, found: str) -> Range:
    """Return a range by its name for RGB (3) or grey (1) networks."""
    scale, offset, backwards = RANGES[name]
    if channels == 1:
        if name not in PLAIN:
            raise TrainingError(f"--range {name} is for colour, the model takes grey: choose {', '.join(PLAIN)}")
        return Range(np.array([LUMA]) * scale, np.full(1, offset), name, found)
    matrix = np.eye(3) * scale
    return Range(matrix[::-1] if backwards else matrix, np.broadcast_to(offset, 3).astype(np.float64), name, found)


def of_quantization(low: float, high: float) -> str | None:
    """Name the range whose ends a quantised input has, within 3 %."""
    ends = {"0-255": (0, 255), "0-1": (0, 1), "+-1": (-1, 1), "torch": (-2.118, 2.64), "caffe": (-123.68, 151.061)}
    for name, (first, last) in ends.items():
        if max(abs(low - first), abs(high - last)) <= 0.03 * (last - first):
            return name
    return None


class FirstSteps:
    """The affine map that a chain of additions and multiplications by constants comes to."""

    def __init__(self) -> None:
        """Start with value = 1 * input + 0."""
        self.scale, self.offset, self.taken = np.ones(1), np.zeros(1), 0

    def take(self, kind: str, constant: np.ndarray | None, constant_first: bool = False) -> bool:
        """Follow one operator; False where it is none of these, and the chain ends."""
        if constant is None or constant.size not in (1, 3) or (constant_first and kind in ("SUB", "DIV")):
            return False
        value = constant.reshape(-1).astype(np.float64)
        if kind in ("ADD", "SUB"):
            self.offset = self.offset + (value if kind == "ADD" else -value)
        elif kind in ("MUL", "DIV"):
            factor = value if kind == "MUL" else 1 / value
            self.scale, self.offset = self.scale * factor, self.offset * factor
        else:
            return False
        self.taken += 1
        return True

    def range(self) -> str | None:
        """Name the range that a network takes which begins with this map; None where that does not tell.

        Networks work on values whose spread is near one, or on 0-255 less a mean. So a network that first divides by
        255 takes 0-255, and one that first multiplies by 255 takes 0-1.
        """
        scale, offset = abs(float(np.mean(self.scale))), float(np.mean(self.offset))
        if 0.4 <= scale * 255 <= 10 or (scale == 1 and -140 <= offset <= -90):
            return "0-255"
        if (0.4 <= scale <= 10 and (scale, offset) != (1, 0)) or abs(scale - 255) < 1:
            return "0-1"
        return None
