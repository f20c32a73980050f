"""The pictures of the page in docs/. Not a test: `make screenshots` takes them, with the tests' server and browser."""

import io

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.conftest import ROOT

MOST = 400_000  # bytes a picture may add to the repository


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("page", {"viewport": {"width": 1200, "height": 890}}),
        ("page-phone", {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "color_scheme": "dark"}),
    ],
)
def test_screenshot(visit, photos, name, options):
    page = visit(**options)
    page.set_input_files("#file", photos[0])
    expect(page.locator('.card[data-state="answered"]')).to_be_visible()
    page.evaluate("Promise.all([...document.images].map((image) => image.decode()))")
    page.mouse.move(0, 0)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    path = ROOT / "docs" / f"{name}.png"
    _few_colours(picture).save(path, optimize=True)
    assert path.stat().st_size < MOST


def _few_colours(picture: Image.Image) -> Image.Image:
    """256 colours, dithered: a third of the size, and no difference that an eye would find.

    The commonest are kept exactly, so that paper and cards stay flat; the others are for the photos.
    """
    flat = sorted(picture.getcolors(picture.width * picture.height), reverse=True)[:32]
    photos = picture.quantize(256 - len(flat), Image.Quantize.MAXCOVERAGE).getpalette()
    palette = Image.new("P", (1, 1))
    palette.putpalette([channel for _, colour in flat for channel in colour] + photos)
    return picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
