"""The page with JavaScript: every way a picture comes in, and everything that can go wrong on its way."""

import base64
import json
import re
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, Route, expect

from tests.server.serving import serving


def cards(page: Page, state: str = "answered"):
    return page.locator(f'.card[data-state="{state}"]')


def files_in_the_page(page: Page, paths: list[str]):
    """A handle to a DataTransfer that holds these files, as a drop or a paste brings one."""
    named = [(Path(path).name, base64.b64encode(Path(path).read_bytes()).decode()) for path in paths]
    return page.evaluate_handle(
        """named => {
            const transfer = new DataTransfer();
            for (const [name, text] of named) {
                const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
                transfer.items.add(new File([bytes], name, { type: "image/jpeg" }));
            }
            return transfer;
        }""",
        named,
    )


def watch_posts(page: Page) -> list[str]:
    """A list that fills with the addresses of the POST requests from here on."""
    posts: list[str] = []
    page.on("request", lambda request: request.method == "POST" and posts.append(request.url))
    return posts


def assert_shows_the_cat(card) -> None:
    expect(card.locator("h2")).to_have_text(re.compile("cat|tabby|mau", re.IGNORECASE))
    expect(card.locator(".bars li")).to_have_count(5)
    for bar in card.locator(".bars li").all():
        expect(bar.locator(".bar-percent")).to_have_text(re.compile(r"^(<0\.1|>99\.9|\d{1,2}\.\d)\u202f%$"))
    assert card.locator(".photo").evaluate("photo => photo.complete && photo.naturalWidth > 0")


def test_chosen_picture_is_answered_in_place(visit, photos):
    page = visit()
    page.evaluate("document.body.dataset.same = 'page'")
    page.set_input_files("#file", photos[0])
    assert_shows_the_cat(cards(page))
    assert page.locator("body").get_attribute("data-same") == "page"
    expect(page.get_by_role("status")).to_have_text(re.compile(r"^cat\.jpg: .+, [\d.]+\u202f%$"))


def test_bars_are_as_wide_as_the_probabilities(visit, photos):
    page = visit()
    page.set_input_files("#file", photos[0])
    first = cards(page).locator(".bars li").first
    percent = float(first.locator(".bar-percent").inner_text().strip("<>\u202f%"))
    whole, part = (first.locator(name).evaluate("e => e.getBoundingClientRect().width") for name in (".bar", "rect"))
    assert part / whole * 100 == pytest.approx(percent, abs=0.5)


def test_the_same_picture_can_be_chosen_twice(visit, photos):
    page = visit()
    for _ in range(2):
        with page.expect_response("**/predict*"):
            page.set_input_files("#file", photos[0])
        expect(cards(page)).to_have_count(1)


def test_sample_is_one_click_away(visit):
    page = visit()
    page.locator('#samples button[value="cat.jpg"]').click()
    assert_shows_the_cat(cards(page))
    expect(cards(page).locator(".filename")).to_have_text("cat.jpg")


def test_picture_can_be_dropped_anywhere(visit, photos):
    page = visit()
    transfer = files_in_the_page(page, photos[:1])
    page.dispatch_event("footer", "dragover", {"dataTransfer": transfer})
    expect(page.locator("body")).to_have_class("dragging")
    page.dispatch_event("footer", "drop", {"dataTransfer": transfer})
    expect(page.locator("body")).not_to_have_class("dragging")
    assert_shows_the_cat(cards(page))


def test_picture_can_be_pasted(visit):
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    page.evaluate(
        """async (address) => {
            const picture = await createImageBitmap(await (await fetch(address)).blob());
            const canvas = new OffscreenCanvas(picture.width, picture.height);
            canvas.getContext("2d").drawImage(picture, 0, 0);
            const png = await canvas.convertToBlob();
            await navigator.clipboard.write([new ClipboardItem({ "image/png": png })]);
        }""",
        "samples/cat.jpg",
    )
    page.keyboard.press("Control+V")
    assert_shows_the_cat(cards(page))


def test_pasted_text_is_no_picture(visit):
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    page.evaluate("navigator.clipboard.writeText('no picture')")
    page.keyboard.press("Control+V")
    expect(page.locator("#answers")).to_be_empty()


def test_phone_offers_its_camera(visit, photos):
    page = visit(has_touch=True, is_mobile=True)
    with page.expect_file_chooser() as chooser:
        page.get_by_text("Take a photo").click()
    assert page.locator("#camera").get_attribute("capture") == "environment"
    chooser.value.set_files(photos[0])
    assert_shows_the_cat(cards(page))
    expect(visit().get_by_text("Take a photo")).to_be_hidden()


def test_several_pictures_are_answered_in_their_order_and_a_bad_one_stops_no_other(visit, photos, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_text("no picture")
    page = visit()
    page.set_input_files("#file", [photos[0], str(bad), photos[1]])
    expect(cards(page)).to_have_count(2)
    expect(page.locator(".card .filename")).to_have_text(["cat.jpg", "bad.jpg", Path(photos[1]).name])
    expect(cards(page, "failed").locator(".reason")).to_have_text(re.compile("not a picture of a supported format"))
    expect(page.get_by_role("button", name="Try again")).to_be_hidden()  # it would fail again


def test_too_many_pictures_are_refused_before_any_is_sent(visit, photos):
    page = visit()
    sent = watch_posts(page)
    page.set_input_files("#file", photos[:1] * 17)
    expect(page.get_by_role("alert")).to_have_text("17 pictures are too many at once: choose at most 16")
    assert sent == []


def test_too_large_picture_is_refused_before_it_is_sent(visit, tmp_path):
    large = tmp_path / "large.jpg"
    with large.open("wb") as file:
        file.truncate(25 * 2**20)
    page = visit()
    sent = watch_posts(page)
    page.set_input_files("#file", str(large))
    reason = "large.jpg has 25.0 MB, and at most 20 MB can be sent: choose a smaller one"
    expect(cards(page, "failed").locator(".reason")).to_have_text(reason)
    assert sent == []


def test_picture_that_the_browser_cannot_show_is_classified_all_the_same(visit, photos, tmp_path, encode):
    tiff = tmp_path / "cat.tiff"
    tiff.write_bytes(encode(Image.open(photos[0]), "TIFF"))
    page = visit()
    page.set_input_files("#file", str(tiff))
    expect(cards(page).locator("h2")).to_have_text(re.compile("cat|mau", re.IGNORECASE))
    expect(page.locator(".card .stage")).to_have_count(0)


def test_heatmap_lies_over_the_picture_and_can_be_faded_and_hidden(visit, photos):
    page = visit()
    page.set_input_files("#file", photos[0])
    heat, photo = cards(page).locator(".heat"), cards(page).locator(".photo")
    expect(heat).to_have_css("opacity", "1")
    assert heat.evaluate("heat => heat.decode().then(() => heat.naturalWidth > 0)")
    assert heat.bounding_box() == pytest.approx(photo.bounding_box())
    page.get_by_label("Strength of the heatmap").fill("40")
    expect(heat).to_have_css("opacity", "0.4")
    page.get_by_label("Show where it looked").uncheck()
    expect(heat).to_have_css("opacity", "0")
    expect(page.get_by_label("Strength of the heatmap")).to_be_hidden()


def test_latest_choice_wins(visit, photos):
    page = visit()
    held: list[Route] = []
    page.route("**/predict*", lambda route: route.continue_() if held else held.append(route))
    with page.expect_request("**/predict*"):
        page.set_input_files("#file", photos[1])
    with page.expect_event("requestfailed"):  # the first is given up, so that its answer can never come
        page.set_input_files("#file", photos[0])
    assert_shows_the_cat(cards(page))
    expect(page.locator(".card")).to_have_count(1)


def test_busy_server_can_be_tried_again(visit, photos):
    page = visit()
    problem = {"type": "about:blank", "title": "Service Unavailable", "status": 503, "detail": "the server is busy"}
    page.route("**/predict*", lambda route: route.fulfill(status=503, body=json.dumps(problem)), times=1)
    page.set_input_files("#file", photos[0])
    expect(cards(page, "failed").locator(".reason")).to_have_text("the server is busy")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".card")).to_be_focused()
    assert_shows_the_cat(cards(page))


def test_broken_network_can_be_tried_again(visit, photos):
    page = visit()
    page.route("**/predict*", lambda route: route.abort("connectionreset"), times=1)
    page.set_input_files("#file", photos[0])
    expect(cards(page, "failed").locator(".reason")).to_have_text(re.compile("cannot be reached"))
    page.get_by_role("button", name="Try again").click()
    assert_shows_the_cat(cards(page))


def test_gateway_that_answers_in_html_is_an_error_with_its_number(visit, photos):
    page = visit()
    page.route("**/predict*", lambda route: route.fulfill(status=502, body="<h1>Bad Gateway</h1>"), times=1)
    page.set_input_files("#file", photos[0])
    expect(cards(page, "failed").locator(".reason")).to_have_text("The server gave no answer (status 502)")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()


def test_progress_is_shown_while_the_server_works(visit, photos):
    page = visit()
    held: list[Route] = []
    page.route("**/predict*", lambda route: held.append(route))
    page.set_input_files("#file", photos[0])
    expect(page.get_by_role("progressbar")).to_be_visible()
    expect(page.locator(".step")).to_have_text(re.compile("Sending|Looking"))
    expect(page.get_by_role("status")).to_have_text("Looking at cat.jpg")
    held[0].continue_()
    assert_shows_the_cat(cards(page))
    expect(page.get_by_role("progressbar")).to_be_hidden()


def test_everything_works_under_a_path(visit, photos):
    with serving(SCRIPT_NAME="/some/where") as server:
        page = visit(f"http://localhost:{server.port}/some/where/")
        page.set_input_files("#file", photos[0])
        assert_shows_the_cat(cards(page))
        page.locator("#samples button").first.click()
        expect(cards(page)).to_have_count(1)
        expect(page.locator("#curl")).to_have_text(
            f"curl -F file=@picture.jpg http://localhost:{server.port}/some/where/predict"
        )
        assert page.evaluate("fetch(document.querySelector('footer a').href).then((answer) => answer.status)") == 200


def test_curl_line_can_be_copied(visit, site):
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == f"curl -F file=@picture.jpg {site}predict"


def test_keyboard_is_enough(visit, photos):
    page = visit()
    page.keyboard.press("Tab")
    expect(page.locator("#file")).to_be_focused()
    assert page.locator("#choose").evaluate("box => getComputedStyle(box).outlineStyle") == "solid"
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Space")
    chooser.value.set_files(photos[0])
    assert_shows_the_cat(cards(page))
    page.keyboard.press("Tab")
    expect(page.get_by_label("Show where it looked")).to_be_focused()
    page.keyboard.press("Space")
    expect(cards(page).locator(".heat")).to_have_css("opacity", "0")
    page.keyboard.press("Tab")
    expect(page.locator("#samples button").first).to_be_focused()
    with page.expect_response("**/predict*"):
        page.keyboard.press("Enter")
    expect(cards(page)).to_have_count(1)


def test_form_works_where_the_script_could_not_be_loaded(browser, site, photos):
    page = browser.new_context().new_page()
    page.route("**/page.js*", lambda route: route.abort())
    page.goto(site)
    page.set_input_files("#file", photos[0])
    page.get_by_role("button", name="Classify").click()
    assert_shows_the_cat(cards(page))
    page.context.close()
