"""The page without JavaScript, as far as it can be tested without a browser; tests/browser/ tests the rest."""

import html
import io
import re

import pytest

from app import create_app, image_formats
from app.config import Config
from app.pages import percent
from tests.test_api import form_with


def send(client, *images):
    """Post (file name, content) pairs as the form does."""
    files = [(io.BytesIO(data), name) for name, data in images]
    return client.post("/", data={"file": files}, content_type="multipart/form-data")


def exists(client, address):
    with client.get(address) as response:  # the response holds an open file
        return response.status_code == 200


def texts(page, name):
    """The texts of the elements with the class `name`, in order, without those of the template for page.js."""
    results = re.sub(r"<template.*?</template>", "", page.get_data(as_text=True), flags=re.DOTALL)
    return [html.unescape(text) for text in re.findall(rf'class="{name}"[^>]*>([^<]*)<', results)]


def test_page_has_the_form_and_every_sample(client, imagenet):
    page = client.get("/").get_data(as_text=True)
    assert 'action="./#results" enctype="multipart/form-data"' in page
    for sample in imagenet.samples:
        name = sample["file"].removeprefix("samples/")
        assert f'name="sample" value="{name}"' in page
        assert exists(client, f"/samples/{name}")


def test_sample_without_a_label_is_named_by_its_file(copied_bundle, edit_card, imagenet):
    edit_card(samples=[{**imagenet.samples[0], "label": None}])
    page = create_app(Config(model=str(copied_bundle))).test_client().get("/").text
    name = imagenet.samples[0]["file"].removeprefix("samples/")
    assert f'<img src="samples/{name}" alt="{name}">' in page


@pytest.mark.parametrize("path", ["/assets/page.css", "/samples/cat.jpg"])
def test_assets_and_samples_are_cached_for_an_hour(client, path):
    with client.get(path) as response:
        assert response.cache_control.max_age == 3600


def test_page_names_the_model_and_its_version_and_links_to_the_card(client, imagenet):
    page = client.get("/").get_data(as_text=True)
    assert f'<a href="model">{imagenet.name}</a>, version {imagenet.version}' in page
    assert "curl -F file=@picture.jpg http://localhost/predict" in page


def test_every_address_on_the_page_is_relative(client, cat):
    page = send(client, ("cat.jpg", cat)).get_data(as_text=True)
    addresses = re.findall(r'(?:href|src|action)="([^"]*)"', page)
    assert len(addresses) > 8
    assert [one for one in addresses if not re.match(r"(?!/|https?:)", one)] == []


def test_page_has_no_inline_code_that_the_content_security_policy_forbids(client, cat):
    page = send(client, ("cat.jpg", cat))
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*src=)", page.get_data(as_text=True))


def test_address_of_an_asset_has_its_digest(client):
    page = client.get("/").get_data(as_text=True)
    addresses = re.findall(r'"(assets/[^"]+)"', page)
    assert {address.partition("?")[0] for address in addresses} == {
        "assets/icon.svg",
        "assets/page.css",
        "assets/page.js",
    }
    assert len({address.partition("?")[2] for address in addresses}) == 3
    for address in addresses:
        assert re.fullmatch(r"[0-9a-f]{8}", address.partition("?")[2])
        assert exists(client, "/" + address)


def test_form_is_answered_with_the_image_its_heatmap_and_five_bars(client, cat):
    page = send(client, ("cat.jpg", cat))
    assert page.status_code == 200
    assert page.content_type.startswith("text/html")
    assert texts(page, "filename") == ["cat.jpg"]
    assert len(texts(page, "bar-label")) == len(texts(page, "bar-percent")) == 5
    assert 'class="photo" src="data:image/jpeg;base64,' in page.text
    assert 'class="heatmap" alt="" src="data:image/png;base64,' in page.text


def test_sample_button_returns_the_same_page_as_uploading_the_sample(client, cat):
    by_name, by_upload = client.post("/", data={"sample": "cat.jpg"}), send(client, ("cat.jpg", cat))
    assert by_name.status_code == 200
    assert by_name.data == by_upload.data


@pytest.mark.parametrize("name", ["none.jpg", "../model.json", "", "/etc/passwd"])
def test_name_that_is_not_a_sample_is_404(client, name):
    page = client.post("/", data={"sample": name})
    assert page.status_code == 404
    assert texts(page, "message") == [f"Not found: there is no sample {name!r}; the page lists the samples"]


def test_error_is_shown_on_the_page_with_its_status(client):
    page = send(client, ("note.txt", b"not an image"))
    assert page.status_code == 415
    assert page.content_type.startswith("text/html")
    assert texts(page, "message") == [f"this is not an image of a supported format: send a {image_formats.NAMES}"]


def test_form_without_a_chosen_file_is_400(client):
    page = client.post("/", **form_with(b'name="file"; filename=""'))
    assert page.status_code == 400
    assert "no image" in texts(page, "message")[0]


def test_bad_image_among_good_ones_has_its_error_in_its_place(client, cat):
    page = send(client, ("one.jpg", cat), ("bad.jpg", b"not an image"), ("two.jpg", cat))
    assert page.status_code == 200
    assert texts(page, "filename") == ["one.jpg", "bad.jpg", "two.jpg"]
    assert len(texts(page, "reason")) == 1
    assert len(texts(page, "bar-percent")) == 10


def test_file_names_are_escaped(client, cat):
    page = send(client, ("<b>cat.jpg", cat))
    assert "<b>cat" not in page.text
    assert texts(page, "filename") == ["<b>cat.jpg"]


@pytest.mark.parametrize(
    ("probability", "shown"),
    [
        (0, "<0.1"),
        (0.00099, "<0.1"),
        (0.001, "0.1"),
        (0.4567, "45.7"),
        (0.999, "99.9"),
        (0.9996, ">99.9"),
        (1, ">99.9"),
    ],
)
def test_percentage_is_never_rounded_to_0_or_100(probability, shown):
    assert percent(probability) == shown + "\u202f%"
