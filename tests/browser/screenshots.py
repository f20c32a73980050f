"""Take the screenshots in docs/. Not a test; `make screenshots` runs it with the server and browser of the tests."""

import base64
import io

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.conftest import ROOT

MAX_BYTES = 400_000  # of a file: it is committed
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
    "color_scheme": "dark",
}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("page", {"viewport": {"width": 1200, "height": 890}}),
        ("page-phone", PHONE),
    ],
)
def test_screenshot(visit, photos, name, options):
    page = visit(**options)
    page.set_input_files("#file", photos[0])
    expect(page.locator('.card[data-state="done"]')).to_be_visible()
    page.evaluate("Promise.all([...document.images].map((image) => image.decode()))")
    page.mouse.move(0, 0)
    image = Image.open(io.BytesIO(_capture(page))).convert("RGB")
    path = ROOT / "docs" / f"{name}.png"
    _to_palette(image).save(path, optimize=True)
    assert path.stat().st_size < MAX_BYTES


def _capture(page: Page) -> bytes:
    """Capture with the browser's DevTools protocol, because Playwright's own screenshot shows a phone with a mouse."""
    session = page.context.new_cdp_session(page)
    clip = page.evaluate("({x: 0, y: scrollY, width: innerWidth, height: innerHeight, scale: devicePixelRatio})")
    return base64.b64decode(session.send("Page.captureScreenshot", {"clip": clip})["data"])


def _to_palette(image: Image.Image) -> Image.Image:
    """Reduce to 256 colours with dithering: a third of the file size, without a visible difference.

    The most frequent 32 colours are kept, so that backgrounds stay uniform; the others are chosen for the photos.
    """
    flat = sorted(image.getcolors(image.width * image.height), reverse=True)[:32]
    photos = image.quantize(256 - len(flat), Image.Quantize.MAXCOVERAGE).getpalette()
    palette = Image.new("P", (1, 1))
    palette.putpalette([channel for _, colour in flat for channel in colour] + photos)
    return image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
