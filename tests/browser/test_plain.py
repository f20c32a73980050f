"""The page with JavaScript switched off."""

import re

import pytest
from playwright.sync_api import expect


@pytest.fixture
def page(visit):
    return visit(java_script_enabled=False)


def test_form_is_answered_with_the_image_and_five_bars(page, photos):
    page.set_input_files("#file", photos[0])
    page.get_by_role("button", name="Classify").click()
    card = page.locator('.card[data-state="done"]')
    expect(card.locator("h2")).to_have_text(re.compile("cat|tabby|mau", re.IGNORECASE))
    expect(card.locator(".filename")).to_have_text("cat.jpg")
    expect(card.locator(".bars li")).to_have_count(5)
    widths = [bar.bounding_box()["width"] for bar in card.locator(".bars rect").all()]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 50
    assert card.locator(".photo").bounding_box()["height"] > 100


def test_sample_needs_no_javascript(page):
    page.locator('#samples button[value="cat.jpg"]').click()
    expect(page.locator(".card .filename")).to_have_text("cat.jpg")
    expect(page.locator(".card .bars li")).to_have_count(5)


def test_checkbox_hides_the_heatmap_without_javascript(page):
    page.locator("#samples button").first.click()
    expect(page.locator(".heatmap")).to_have_css("opacity", "1")
    page.get_by_label("Show where it looked").uncheck()
    expect(page.locator(".heatmap")).to_have_css("opacity", "0")


def test_several_images_keep_their_order(page, photos):
    page.set_input_files("#file", photos[:3])
    page.get_by_role("button", name="Classify").click()
    expect(page.locator(".card .filename")).to_have_text([photo.rsplit("/", 1)[1] for photo in photos[:3]])


def test_error_of_a_bad_file_is_shown_on_the_page(page, tmp_path):
    note = tmp_path / "note.txt"
    note.write_text("not an image")
    page.set_input_files("#file", str(note))
    page.get_by_role("button", name="Classify").click()
    expect(page.get_by_role("alert")).to_have_text(re.compile("not an image of a supported format"))
    expect(page.locator("#file")).to_be_visible()


def test_controls_that_need_javascript_are_hidden(page):
    for words in ("drop it anywhere", "Take a photo", "Copy"):
        expect(page.get_by_text(words)).to_be_hidden()
