"""axe's rules, small screens and large letters, in every state of the page."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"


def empty(_page, _photos):
    pass


def result(page, photos):
    page.set_input_files("#file", photos[:2])
    expect(page.locator('.card[data-state="answered"]')).to_have_count(2)


def error(page, _photos):
    page.set_input_files("#file", __file__)
    expect(page.locator('.card[data-state="failed"]')).to_have_count(1)


def refusal(page, photos):
    page.set_input_files("#file", photos[:1] * 17)
    expect(page.get_by_role("alert")).to_be_visible()


def waiting(page, photos):
    page.route("**/predict*", lambda _: None)
    page.set_input_files("#file", photos[0])
    expect(page.get_by_role("progressbar")).to_be_visible()


STATES = pytest.mark.parametrize("bring_about", [empty, waiting, result, error, refusal])


@STATES
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(visit, photos, bring_about, scheme):
    page = visit(color_scheme=scheme)
    bring_about(page, photos)
    page.evaluate(AXE.read_text("utf-8"))
    found = page.evaluate(
        "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice']})"
    )
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]] == []


@STATES
def test_nothing_is_wider_than_a_small_phone(visit, photos, bring_about):
    page = visit(viewport={"width": 320, "height": 640}, is_mobile=True, has_touch=True)
    bring_about(page, photos)
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    assert page.evaluate("document.body.scrollWidth") <= 320


def test_page_keeps_still_for_those_who_asked_for_it(visit):
    moving = "[...document.querySelectorAll('*')].filter((e) => getComputedStyle(e).transitionDuration !== '0s').length"
    assert visit(reduced_motion="reduce").evaluate(moving) == 0
    assert visit(reduced_motion="no-preference").evaluate(moving) > 0
