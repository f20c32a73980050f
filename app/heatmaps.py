"""A class-activation map drawn as a translucent picture to lay over the photo."""

import io

import numpy as np
from PIL import Image

from app import images

_LONGER_SIDE = 320  # pixels; the map has far fewer cells, and the browser stretches it over the photo anyway
_STRONGEST = 190  # alpha, of 255, where the class was seen most


def _palette() -> tuple[bytes, bytes]:
    """256 steps from clear to warm: RGB triples (dark red, orange, pale yellow) and their alpha."""
    step = np.linspace(0, 1, 256)
    stops = ([0, 0.5, 1], [[120, 240, 255], [10, 110, 245], [30, 20, 160]])
    colours = np.stack([np.interp(step, stops[0], channel) for channel in stops[1]], axis=1)
    alpha = step**2 * (3 - 2 * step)  # smoothstep: weak evidence stays clear, so that the crop's edge does not show
    return colours.astype(np.uint8).tobytes(), (alpha * _STRONGEST).astype(np.uint8).tobytes()


_COLOURS, _ALPHA = _palette()


def draw(activation: np.ndarray, size: tuple[int, int], resize: str) -> bytes:
    """Draw `activation`, float32 of shape (rows, columns), over an upright picture of `size` (width, height).

    Returns a PNG with alpha in the picture's own aspect ratio; what the model did not see (`resize` crops) is clear.
    """
    scale = _LONGER_SIDE / max(size)
    width, height = (max(1, round(side * scale)) for side in size)
    positive = np.maximum(np.nan_to_num(activation), 0)  # evidence against the class is not drawn
    cells = positive / max(float(positive.max()), 1e-9) * 255
    # The map covers the crop that the network saw, whose shape is the network's input, whatever the picture's.
    rows, columns = cells.shape
    left, top, right, bottom = (round(edge) for edge in images.crop_box((width, height), columns, rows, resize))
    seen = Image.fromarray(cells.astype(np.uint8)).resize(
        (max(1, right - left), max(1, bottom - top)), Image.Resampling.BICUBIC
    )
    canvas = Image.new("L", (width, height))
    canvas.paste(seen, (left, top))
    canvas.putpalette(_COLOURS)
    png = io.BytesIO()
    canvas.save(png, "PNG", transparency=_ALPHA)
    return png.getvalue()
