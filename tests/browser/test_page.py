"""The page with JavaScript: every way to choose an image, and everything that can fail."""

import base64
import json
import re
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, Route, expect

from tests.server.serving import serving


def cards(page: Page, state: str = "done"):
    return page.locator(f'.card[data-state="{state}"]')


def files_in_the_page(page: Page, paths: list[str]):
    """A handle to a DataTransfer with these files, as in the event of a drop or a paste."""
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
    """A list to which the URL of every following POST request is appended."""
    posts: list[str] = []
    page.on("request", lambda request: request.method == "POST" and posts.append(request.url))
    return posts


def assert_shows_the_cat(card) -> None:
    expect(card.locator("h2")).to_have_text(re.compile("cat|tabby|mau", re.IGNORECASE))
    expect(card.locator(".bars li")).to_have_count(5)
    for bar in card.locator(".bars li").all():
        expect(bar.locator(".bar-percent")).to_have_text(re.compile(r"^(<0\.1|>99\.9|\d{1,2}\.\d)\u202f%$"))
    assert card.locator(".photo").evaluate("photo => photo.complete && photo.naturalWidth > 0")


def test_chosen_image_is_classified_without_a_reload(visit, photos):
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


def test_the_same_image_can_be_chosen_twice(visit, photos):
    page = visit()
    for _ in range(2):
        with page.expect_response("**/predict*"):
            page.set_input_files("#file", photos[0])
        expect(cards(page)).to_have_count(1)


def test_sample_is_classified_on_click(visit):
    page = visit()
    page.locator('#samples button[value="cat.jpg"]').click()
    assert_shows_the_cat(cards(page))
    expect(cards(page).locator(".filename")).to_have_text("cat.jpg")


def test_image_can_be_dropped_anywhere(visit, photos):
    page = visit()
    transfer = files_in_the_page(page, photos[:1])
    page.dispatch_event("footer", "dragover", {"dataTransfer": transfer})
    expect(page.locator("body")).to_have_class("dragging")
    page.dispatch_event("footer", "drop", {"dataTransfer": transfer})
    expect(page.locator("body")).not_to_have_class("dragging")
    assert_shows_the_cat(cards(page))


def test_image_can_be_pasted(visit):
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    page.evaluate(
        """async (address) => {
            const image = await createImageBitmap(await (await fetch(address)).blob());
            const canvas = new OffscreenCanvas(image.width, image.height);
            canvas.getContext("2d").drawImage(image, 0, 0);
            const png = await canvas.convertToBlob();
            await navigator.clipboard.write([new ClipboardItem({ "image/png": png })]);
        }""",
        "samples/cat.jpg",
    )
    page.keyboard.press("Control+V")
    assert_shows_the_cat(cards(page))


def test_pasted_text_is_ignored(visit):
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    page.evaluate("navigator.clipboard.writeText('not an image')")
    page.keyboard.press("Control+V")
    expect(page.locator("#results")).to_be_empty()


def test_camera_can_be_used_on_a_phone_only(visit, photos):
    page = visit(has_touch=True, is_mobile=True)
    with page.expect_file_chooser() as chooser:
        page.get_by_text("Take a photo").click()
    assert page.locator("#camera").get_attribute("capture") == "environment"
    chooser.value.set_files(photos[0])
    assert_shows_the_cat(cards(page))
    expect(visit().get_by_text("Take a photo")).to_be_hidden()


def test_several_images_are_classified_in_order_despite_a_bad_one(visit, photos, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_text("not an image")
    page = visit()
    page.set_input_files("#file", [photos[0], str(bad), photos[1]])
    expect(cards(page)).to_have_count(2)
    expect(page.locator(".card .filename")).to_have_text(["cat.jpg", "bad.jpg", Path(photos[1]).name])
    expect(cards(page, "failed").locator(".reason")).to_have_text(re.compile("not an image of a supported format"))
    expect(page.get_by_role("button", name="Try again")).to_be_hidden()  # it would fail again


def test_too_many_images_are_refused_before_any_is_sent(visit, photos):
    page = visit()
    sent = watch_posts(page)
    page.set_input_files("#file", photos[:1] * 17)
    expect(page.get_by_role("alert")).to_have_text("17 pictures are too many at once: choose at most 16")
    assert sent == []


def test_too_large_image_is_refused_before_it_is_sent(visit, tmp_path):
    large = tmp_path / "large.jpg"
    with large.open("wb") as file:
        file.truncate(25 * 2**20)
    page = visit()
    sent = watch_posts(page)
    page.set_input_files("#file", str(large))
    reason = "large.jpg has 25.0 MB, and at most 20 MB can be sent: choose a smaller one"
    expect(cards(page, "failed").locator(".reason")).to_have_text(reason)
    assert sent == []


def test_image_that_the_browser_cannot_show_is_classified(visit, photos, tmp_path, encode):
    tiff = tmp_path / "cat.tiff"
    tiff.write_bytes(encode(Image.open(photos[0]), "TIFF"))
    page = visit()
    page.set_input_files("#file", str(tiff))
    expect(cards(page).locator("h2")).to_have_text(re.compile("cat|mau", re.IGNORECASE))
    expect(page.locator(".card .frame")).to_have_count(0)


def test_heatmap_covers_the_image_and_can_be_faded_and_hidden(visit, photos):
    page = visit()
    page.set_input_files("#file", photos[0])
    heatmap, photo = cards(page).locator(".heatmap"), cards(page).locator(".photo")
    expect(heatmap).to_have_css("opacity", "1")
    assert heatmap.evaluate("image => image.decode().then(() => image.naturalWidth > 0)")
    assert heatmap.bounding_box() == pytest.approx(photo.bounding_box())
    page.get_by_label("Strength of the heatmap").fill("40")
    expect(heatmap).to_have_css("opacity", "0.4")
    page.get_by_label("Show where it looked").uncheck()
    expect(heatmap).to_have_css("opacity", "0")
    expect(page.get_by_label("Strength of the heatmap")).to_be_hidden()


def test_later_choice_replaces_an_earlier_one(visit, photos):
    page = visit()
    held: list[Route] = []
    page.route("**/predict*", lambda route: route.continue_() if held else held.append(route))
    with page.expect_request("**/predict*"):
        page.set_input_files("#file", photos[1])
    with page.expect_event("requestfailed"):  # the first request is aborted
        page.set_input_files("#file", photos[0])
    assert_shows_the_cat(cards(page))
    expect(page.locator(".card")).to_have_count(1)


def test_busy_server_can_be_retried(visit, photos):
    page = visit()
    problem = {"type": "about:blank", "title": "Service Unavailable", "status": 503, "detail": "the server is busy"}
    page.route("**/predict*", lambda route: route.fulfill(status=503, body=json.dumps(problem)), times=1)
    page.set_input_files("#file", photos[0])
    expect(cards(page, "failed").locator(".reason")).to_have_text("the server is busy")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".card")).to_be_focused()
    assert_shows_the_cat(cards(page))


def test_network_failure_can_be_retried(visit, photos):
    page = visit()
    page.route("**/predict*", lambda route: route.abort("connectionreset"), times=1)
    page.set_input_files("#file", photos[0])
    expect(cards(page, "failed").locator(".reason")).to_have_text(re.compile("cannot be reached"))
    page.get_by_role("button", name="Try again").click()
    assert_shows_the_cat(cards(page))


def test_html_error_of_a_gateway_is_shown_with_its_status(visit, photos):
    page = visit()
    page.route("**/predict*", lambda route: route.fulfill(status=502, body="<h1>Bad Gateway</h1>"), times=1)
    page.set_input_files("#file", photos[0])
    expect(cards(page, "failed").locator(".reason")).to_have_text("The server did not respond as expected (status 502)")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()


def test_progress_is_shown_while_the_request_runs(visit, photos):
    page = visit()
    held: list[Route] = []
    page.route("**/predict*", lambda route: held.append(route))
    page.set_input_files("#file", photos[0])
    expect(page.get_by_role("progressbar")).to_be_visible()
    expect(page.locator(".step")).to_have_text(re.compile("Sending|Classifying"))
    expect(page.get_by_role("status")).to_have_text("Classifying cat.jpg")
    held[0].continue_()
    assert_shows_the_cat(cards(page))
    expect(page.get_by_role("progressbar")).to_be_hidden()


def test_page_works_under_a_path(visit, photos):
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


def test_curl_command_can_be_copied(visit, site):
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == f"curl -F file=@picture.jpg {site}predict"


def test_page_can_be_used_with_the_keyboard_only(visit, photos):
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
    expect(cards(page).locator(".heatmap")).to_have_css("opacity", "0")
    page.keyboard.press("Tab")
    expect(page.locator("#samples button").first).to_be_focused()
    with page.expect_response("**/predict*"):
        page.keyboard.press("Enter")
    expect(cards(page)).to_have_count(1)


def test_form_works_if_the_script_cannot_be_loaded(browser, site, photos):
    page = browser.new_context().new_page()
    page.route("**/page.js*", lambda route: route.abort())
    page.goto(site)
    page.set_input_files("#file", photos[0])
    page.get_by_role("button", name="Classify").click()
    assert_shows_the_cat(cards(page))
    page.context.close()
