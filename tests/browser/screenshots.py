"""The pictures of the page in docs/. Not a test: `make screenshots` takes them, with the tests' server and browser."""

import base64
import io

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.conftest import ROOT

MOST = 400_000  # bytes a picture may add to the repository
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
    expect(page.locator('.card[data-state="answered"]')).to_be_visible()
    page.evaluate("Promise.all([...document.images].map((image) => image.decode()))")
    page.mouse.move(0, 0)
    picture = Image.open(io.BytesIO(_capture(page))).convert("RGB")
    path = ROOT / "docs" / f"{name}.png"
    _few_colours(picture).save(path, optimize=True)
    assert path.stat().st_size < MOST


def _capture(page: Page) -> bytes:
    """By the browser's own protocol: Playwright's screenshot forgets for that moment that a phone has no mouse."""
    session = page.context.new_cdp_session(page)
    clip = page.evaluate("({x: 0, y: scrollY, width: innerWidth, height: innerHeight, scale: devicePixelRatio})")
    return base64.b64decode(session.send("Page.captureScreenshot", {"clip": clip})["data"])


def _few_colours(picture: Image.Image) -> Image.Image:
    """256 colours, dithered: a third of the size, and no difference that an eye would find.

    The commonest are kept exactly, so that paper and cards stay flat; the others are for the photos.
    """
    flat = sorted(picture.getcolors(picture.width * picture.height), reverse=True)[:32]
    photos = picture.quantize(256 - len(flat), Image.Quantize.MAXCOVERAGE).getpalette()
    palette = Image.new("P", (1, 1))
    palette.putpalette([channel for _, colour in flat for channel in colour] + photos)
    return picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
