import io

import numpy as np
import pytest
from PIL import Image

from app import heatmaps


def alpha(activation, size, resize="stretch"):
    """The alpha channel of the heatmap, as an array of shape (height, width)."""
    image = Image.open(io.BytesIO(heatmaps.draw(np.array(activation, np.float32), size, resize)))
    return np.asarray(image.convert("RGBA"))[..., 3].astype(int)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((640, 480), (320, 240)), ((480, 640), (240, 320)), ((20, 10), (320, 160)), ((4000, 1), (320, 1))],
)
def test_heatmap_has_the_aspect_ratio_of_the_image_and_320_pixels(size, expected):
    image = Image.open(io.BytesIO(heatmaps.draw(np.ones((7, 7), np.float32), size, "stretch")))
    assert image.size == expected
    assert image.format == "PNG"


@pytest.mark.parametrize(
    ("size", "resize", "box"),  # box: left, top, right, bottom of the crop in the heatmap
    [
        ((640, 320), "center-crop:1.0", (80, 0, 240, 160)),
        ((640, 320), "center-crop:0.5", (120, 40, 200, 120)),
        ((320, 640), "center-crop:1.0", (0, 80, 160, 240)),
        ((640, 320), "stretch", (0, 0, 320, 160)),
    ],
)
def test_only_the_crop_that_the_model_saw_is_coloured(size, resize, box):
    left, top, right, bottom = box
    found = alpha(np.ones((4, 4)), size, resize)
    assert (found[top:bottom, left:right] == 190).all()
    found[top:bottom, left:right] = 0
    assert (found == 0).all()


@pytest.mark.parametrize("size", [(4000, 1), (1, 4000)])
def test_narrow_image_has_a_heatmap(size):
    found = alpha(np.ones((4, 4)), size, "center-crop:0.5")
    assert found.shape == (1, 320) if size[0] > 1 else (320, 1)
    assert np.count_nonzero(found) <= 1


def test_crop_has_the_aspect_ratio_of_the_map():
    found = alpha(np.ones((2, 4)), (320, 320), "center-crop:1.0")
    assert (found[80:240] == 190).all()
    assert found[:80].max() == found[240:].max() == 0


def test_heatmap_is_most_opaque_at_the_strongest_cell():
    activation = np.zeros((4, 4))
    activation[0, 3] = 7
    found = alpha(activation, (320, 320))
    assert found[40, 280] >= found.max() - 1 > 180
    assert found[200:, :200].max() == 0


def test_more_evidence_is_more_opaque():
    found = alpha([[0.25, 0.5, 0.75, 1.0]], (320, 80))
    columns = found[40, [40, 120, 200, 280]]
    assert list(columns) == sorted(set(columns))
    assert columns[0] < 190 / 5  # weak evidence is almost transparent
    assert columns[1] == pytest.approx(95, abs=15)


@pytest.mark.parametrize("activation", [[[-1.0, -2.0]], [[0.0, 0.0]], [[float("nan"), float("nan")]]])
def test_map_without_positive_evidence_is_transparent(activation):
    assert alpha(activation, (320, 160)).max() == 0


def test_evidence_against_the_class_is_transparent():
    found = alpha([[-100.0, 1.0]], (320, 160))
    assert found[:, :40].max() == 0
    assert found[:, 280:].min() > 150


def test_strong_evidence_is_pale_yellow_and_weak_is_dark_red():
    image = Image.open(io.BytesIO(heatmaps.draw(np.array([[0.1, 1.0]], np.float32), (320, 160), "stretch")))
    pixels = np.asarray(image.convert("RGBA"))
    assert tuple(pixels[80, 310, :3]) == (255, 245, 160)
    red, green, blue = pixels[80, 10, :3]
    assert 120 <= red < 160
    assert 10 <= green < 50
    assert 20 <= blue <= 30
