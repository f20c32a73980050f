"""Draw a class-activation map as a translucent image, to lay over the original."""

import io

import numpy as np
from PIL import Image

from app import images

_LONGER_SIDE = 320  # pixels; the map has far fewer cells, and the browser scales the heatmap to the image's size
_MAX_ALPHA = 190  # of 255, for the cell with the strongest evidence


def _palette() -> tuple[bytes, bytes]:
    """256 colours from dark red through orange to pale yellow, as RGB triples, and their alpha, from 0 to 190."""
    step = np.linspace(0, 1, 256)
    stops = ([0, 0.5, 1], [[120, 240, 255], [10, 110, 245], [30, 20, 160]])
    colours = np.stack([np.interp(step, stops[0], channel) for channel in stops[1]], axis=1)
    alpha = step**2 * (3 - 2 * step)  # smoothstep: weak evidence is transparent, so the edge of the crop is invisible
    return colours.astype(np.uint8).tobytes(), (alpha * _MAX_ALPHA).astype(np.uint8).tobytes()


_COLOURS, _ALPHA = _palette()


def draw(activation: np.ndarray, size: tuple[int, int], resize: str) -> bytes:
    """Draw `activation`, float32 of shape (rows, columns), for an upright image of `size` (width, height).

    Returns a PNG with alpha in the aspect ratio of the image. The part that the model did not see, because `resize`
    crops it, is transparent.
    """
    scale = _LONGER_SIDE / max(size)
    width, height = (max(1, round(side * scale)) for side in size)
    positive = np.maximum(np.nan_to_num(activation), 0)  # evidence against the class is not drawn
    cells = positive / max(float(positive.max()), 1e-9) * 255
    # The map covers the crop that the model saw; the crop has the aspect ratio of the model's input.
    rows, columns = cells.shape
    left, top, right, bottom = (round(edge) for edge in images.crop_box((width, height), columns, rows, resize))
    crop = Image.fromarray(cells.astype(np.uint8)).resize(
        (max(1, right - left), max(1, bottom - top)), Image.Resampling.BICUBIC
    )
    canvas = Image.new("L", (width, height))
    canvas.paste(crop, (left, top))
    canvas.putpalette(_COLOURS)
    png = io.BytesIO()
    canvas.save(png, "PNG", transparency=_ALPHA)
    return png.getvalue()
