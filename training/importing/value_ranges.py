"""Value ranges: which values a network was trained on, as an affine map of RGB 0-255, and how to detect them."""

from dataclasses import dataclass

import numpy as np

from training import TrainingError
from training.datasets import LUMA

_IMAGENET_MEAN = np.array((0.485, 0.456, 0.406))  # of RGB 0-1
_IMAGENET_STD = np.array((0.229, 0.224, 0.225))
# {name: (scale, offset, whether the channels are BGR)}; value = scale * pixel + offset.
# torch and caffe: as keras.applications.imagenet_utils.preprocess_input
RANGES: dict[str, tuple[float, float | np.ndarray, bool] | tuple[np.ndarray, np.ndarray, bool]] = {
    "0-255": (1.0, 0.0, False),
    "0-1": (1 / 255, 0.0, False),
    "+-1": (1 / 127.5, -1.0, False),
    "torch": (1 / (255 * _IMAGENET_STD), -_IMAGENET_MEAN / _IMAGENET_STD, False),
    "caffe": (1.0, -np.array((103.939, 116.779, 123.68)), True),
}
CHOICES = (
    "0-255, 0-1, +-1 (-1 to 1), torch (0-1, minus ImageNet's mean, divided by its standard deviation) "
    "or caffe (BGR 0-255 minus ImageNet's mean)"
)
GREY_RANGES = ("0-255", "0-1", "+-1")
# (lowest, highest) value of each range over all channels
_LIMITS = {"0-255": (0, 255), "0-1": (0, 1), "+-1": (-1, 1), "torch": (-2.118, 2.64), "caffe": (-123.68, 151.061)}


@dataclass(frozen=True)
class ValueRange:
    """The network's input is `matrix`, float64 (channels, 3), @ RGB 0-255 + `offset`, float64 (channels,).

    `name`: a key of RANGES. `found`: how it was found, as text for the card.
    """

    matrix: np.ndarray
    offset: np.ndarray
    name: str
    found: str

    @property
    def is_identity(self) -> bool:
        """Whether the network takes RGB 0-255 unchanged."""
        return self.matrix.shape == (3, 3) and np.array_equal(self.matrix, np.eye(3)) and not self.offset.any()

    def apply(self, images: np.ndarray) -> np.ndarray:
        """Convert images, uint8 (n, height, width, 3), to network input, float32 (n, height, width, channels)."""
        return (images.astype(np.float64) @ self.matrix.T + self.offset).astype(np.float32)


def create(name: str, channels: int, found: str) -> ValueRange:
    """Return the value range `name` for a network with 3 channels, or 1 for grey. `found`: see ValueRange.

    Raises TrainingError if the range is only for colour and the network is grey.
    """
    scale, offset, is_bgr = RANGES[name]
    if channels == 1:
        if name not in GREY_RANGES:
            raise TrainingError(
                f"--range {name} is for colour images, but the model's input is grey; use {', '.join(GREY_RANGES)}"
            )
        return ValueRange(np.array([LUMA]) * scale, np.full(1, offset), name, found)
    matrix = np.eye(3) * scale
    return ValueRange(matrix[::-1] if is_bgr else matrix, np.broadcast_to(offset, 3).astype(np.float64), name, found)


def from_limits(low: float, high: float) -> str | None:
    """Return the name of the range from `low` to `high`, with a tolerance of 3 % of its width, or None."""
    for name, (lowest, highest) in _LIMITS.items():
        if max(abs(low - lowest), abs(high - highest)) <= 0.03 * (highest - lowest):
            return name
    return None


class AffineChain:
    """A chain of additions and multiplications by constants, as one affine map: scale * input + offset."""

    def __init__(self) -> None:
        """Start with the identity; `length` counts the operators."""
        self.scale, self.offset, self.length = np.ones(1), np.zeros(1), 0

    def append(self, operator: str, constant: np.ndarray | None, constant_first: bool = False) -> bool:
        """Append ADD, SUB, MUL or DIV with a constant of 1 or 3 values; returns False if it is anything else."""
        if constant is None or constant.size not in (1, 3) or (constant_first and operator in ("SUB", "DIV")):
            return False
        value = constant.reshape(-1).astype(np.float64)
        if operator in ("ADD", "SUB"):
            self.offset = self.offset + (value if operator == "ADD" else -value)
        elif operator in ("MUL", "DIV"):
            factor = value if operator == "MUL" else 1 / value
            self.scale, self.offset = self.scale * factor, self.offset * factor
        else:
            return False
        self.length += 1
        return True

    def input_range(self) -> str | None:
        """Return the value range of a network that begins with this chain; None if the chain does not determine it.

        Networks compute on values with a spread near one, or on 0-255 minus a mean. So a network that first divides by
        255 takes 0-255, and a network that first multiplies by 255 takes 0-1.
        """
        scale, offset = abs(float(np.mean(self.scale))), float(np.mean(self.offset))
        if 0.4 <= scale * 255 <= 10 or (scale == 1 and -140 <= offset <= -90):
            return "0-255"
        if (0.4 <= scale <= 10 and (scale, offset) != (1, 0)) or abs(scale - 255) < 1:
            return "0-1"
        return None
