"""The rules of axe-core, and small screens, in every state of the page."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"


def empty(_page, _photos):
    pass


def result(page, photos):
    page.set_input_files("#file", photos[:2])
    expect(page.locator('.card[data-state="done"]')).to_have_count(2)


def error(page, _photos):
    page.set_input_files("#file", __file__)
    expect(page.locator('.card[data-state="failed"]')).to_have_count(1)


def too_many(page, photos):
    page.set_input_files("#file", photos[:1] * 17)
    expect(page.get_by_role("alert")).to_be_visible()


def waiting(page, photos):
    page.route("**/predict*", lambda _: None)
    page.set_input_files("#file", photos[0])
    expect(page.get_by_role("progressbar")).to_be_visible()


STATES = pytest.mark.parametrize("prepare", [empty, waiting, result, error, too_many])


@STATES
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(visit, photos, prepare, scheme):
    page = visit(color_scheme=scheme)
    prepare(page, photos)
    page.evaluate(AXE.read_text("utf-8"))
    found = page.evaluate(
        "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice']})"
    )
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]] == []


@STATES
def test_page_fits_a_small_phone(visit, photos, prepare):
    page = visit(viewport={"width": 320, "height": 640}, is_mobile=True, has_touch=True)
    prepare(page, photos)
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    assert page.evaluate("document.body.scrollWidth") <= 320


def test_animations_stop_for_visitors_who_prefer_reduced_motion(visit):
    moving = "[...document.querySelectorAll('*')].filter((e) => getComputedStyle(e).transitionDuration !== '0s').length"
    assert visit(reduced_motion="reduce").evaluate(moving) == 0
    assert visit(reduced_motion="no-preference").evaluate(moving) > 0
