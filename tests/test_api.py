import base64
import gc
import io
import json
import threading
import weakref

import numpy as np
import pytest
from PIL import Image

from app import classifier, create_app, images, predictions
from app.config import Config
from app.uploads import Upload
from tests.conftest import IMAGENET


def post(client, *files, query="", **kwargs):
    """Send (file name, content) pairs as a form; by hand, since werkzeug's client puts large ones into files."""
    parts = [
        f'--b\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode() + content + b"\r\n"
        for name, content in files
    ]
    body = b"".join(parts) + b"--b--\r\n"
    return client.post("/predict" + query, data=body, content_type="multipart/form-data; boundary=b", **kwargs)


def problem(response, status):
    """The problem that `response` is, after checking its form."""
    assert response.status_code == status
    assert response.content_type == "application/problem+json"
    body = json.loads(response.data)
    assert set(body) == {"type", "title", "status", "detail"}
    assert body["status"] == status
    assert "\n" not in body["detail"]
    return body["detail"]


def test_multipart_picture_is_classified(client, cat, imagenet):
    response = post(client, ("cat.jpg", cat))
    assert response.status_code == 200
    body = response.get_json()
    assert body["model"] == {"name": "imagenet", "version": imagenet.version}
    (entry,) = body["predictions"]
    assert set(entry) == {"filename", "label", "probability", "top"}
    assert entry["filename"] == "cat.jpg"
    assert "cat" in entry["label"]
    assert entry["top"][0] == {
        "label": entry["label"],
        "index": imagenet.labels.index(entry["label"]),
        "probability": entry["probability"],
    }
    probabilities = [one["probability"] for one in entry["top"]]
    assert len(probabilities) == 5
    assert probabilities == sorted(probabilities, reverse=True)


def test_every_sample_gives_what_the_card_expects(client, imagenet):
    for sample in imagenet.samples:
        content = (imagenet.path / sample["file"]).read_bytes()
        entry = post(client, (sample["file"], content)).get_json()["predictions"][0]
        assert entry["label"] == sample["expected"]["label"]
        assert entry["probability"] == pytest.approx(sample["expected"]["probability"], abs=0.02)
        assert sample["label"] in [one["label"] for one in entry["top"]]


def test_raw_and_json_bodies_give_the_same_answer(client, cat):
    whole = post(client, ("cat.jpg", cat)).get_json()["predictions"]
    raw = client.post("/predict", data=cat, content_type="image/jpeg").get_json()["predictions"]
    text = base64.b64encode(cat).decode()
    body = {"instances": [{"b64": text}, {"image_bytes": {"b64": text}}]}
    both = client.post("/predict", json=body).get_json()["predictions"]
    nameless = {**whole[0], "filename": None}
    assert raw == [nameless]
    assert both == [nameless, nameless]


def test_several_pictures_are_answered_in_order_and_a_bad_one_in_its_place(client, cat, encode):
    blank = encode(Image.new("RGB", (50, 50), "white"), "PNG")
    response = post(client, ("cat.jpg", cat), ("broken.jpg", cat[:2000]), ("blank.png", blank), ("notes.txt", b"hello"))
    assert response.status_code == 200
    first, second, third, fourth = response.get_json()["predictions"]
    assert [entry["filename"] for entry in (first, second, third, fourth)] == [
        "cat.jpg",
        "broken.jpg",
        "blank.png",
        "notes.txt",
    ]
    assert "cat" in first["label"]
    assert set(second) == {"filename", "error"}
    assert second["error"]["status"] == 422
    assert third["label"] != first["label"]
    assert fourth["error"]["status"] == 415


def test_request_of_bad_pictures_only_fails_with_the_first_ones_status(client, cat):
    assert "cannot be decoded" in problem(post(client, ("a.jpg", cat[:2000]), ("b.txt", b"hello")), 422)


@pytest.mark.parametrize(("query", "count"), [("?top=1", 1), ("?top=1000", 1000), ("?top=", 5)])
def test_top_says_how_many(client, cat, query, count):
    assert len(post(client, ("cat.jpg", cat), query=query).get_json()["predictions"][0]["top"]) == count


def test_all_probabilities_add_up_to_one(client, cat):
    top = post(client, ("cat.jpg", cat), query="?top=1000").get_json()["predictions"][0]["top"]
    assert sum(one["probability"] for one in top) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("?top=0", "top is '0'; it must be a whole number from 1 to 1000"),
        ("?top=1001", "top is '1001'"),
        ("?top=-1", "top is '-1'"),
        ("?top=five", "top is 'five'"),
        ("?top=5.0", "top is '5.0'"),
        ("?top=%D9%A3", "top is"),  # an Arabic three is a digit to Python
        ("?top=99999999999999999999", "top is"),
        ("?explain=2", "explain is '2'; it must be a whole number from 0 to 1"),
        ("?explain=yes", "explain is 'yes'"),
    ],
)
def test_parameter_out_of_range_is_400(client, cat, query, message):
    assert message in problem(post(client, ("cat.jpg", cat), query=query), 400)


@pytest.mark.parametrize("size", [(600, 400), (300, 700)])
def test_heatmap_is_a_png_with_alpha_in_the_pictures_aspect_ratio(client, cat, encode, size):
    picture = encode(Image.open(io.BytesIO(cat)).resize(size), "JPEG")
    (entry,) = post(client, ("cat.jpg", picture), query="?explain=1").get_json()["predictions"]
    prefix, text = entry["heatmap"].split(",")
    assert prefix == "data:image/png;base64"
    heatmap = Image.open(io.BytesIO(base64.b64decode(text)))
    assert heatmap.format == "PNG"
    assert heatmap.width / heatmap.height == pytest.approx(size[0] / size[1], rel=0.01)
    alpha = np.asarray(heatmap.convert("RGBA"))[..., 3]
    assert alpha.max() > 100
    assert alpha.min() == 0


def test_heatmap_is_upright_and_marks_where_the_cat_is(client, cat, encode):
    # The cat on the left, and the same picture turned with an EXIF note that turns it back.
    photo = Image.open(io.BytesIO(cat)).convert("RGB").resize((200, 200))
    wide = Image.new("RGB", (400, 400), "white")
    wide.paste(photo, (50, 100))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = wide.transpose(Image.Transpose.ROTATE_90)
    for content in (encode(wide, "JPEG", quality=95), encode(turned, "JPEG", quality=95, exif=exif)):
        (entry,) = post(client, ("cat.jpg", content), query="?explain=1").get_json()["predictions"]
        heatmap = Image.open(io.BytesIO(base64.b64decode(entry["heatmap"].split(",")[1])))
        alpha = np.asarray(heatmap.convert("RGBA"))[..., 3].astype(float)
        half = alpha.shape[1] // 2
        assert alpha[:, :half].sum() > 2 * alpha[:, half:].sum()


@pytest.mark.parametrize(
    ("kwargs", "status", "message"),
    [
        ({}, 400, "no picture in the request"),
        (
            {"data": {"note": "x"}, "content_type": "multipart/form-data"},
            400,
            "no picture in the field 'file' (got 'note')",
        ),
        ({"data": {"image": (io.BytesIO(b"x"), "a.jpg")}}, 400, "no picture in the field 'file' (got 'image')"),
        ({"data": {"file": (io.BytesIO(b""), "")}}, 400, "no picture in the field 'file'"),
        ({"data": {"file": (io.BytesIO(b""), "empty.jpg")}}, 415, "the picture is empty (0 bytes)"),
        ({"data": b"x", "content_type": "multipart/form-data"}, 400, "has no usable boundary"),
        ({"data": b"{", "content_type": "application/json"}, 400, "not valid JSON"),
        ({"data": b"\xff", "content_type": "application/json"}, 400, "not valid JSON"),
        ({"data": b"[" * 100_000, "content_type": "application/json"}, 400, "not valid JSON"),
        ({"json": []}, 400, "no list of instances"),
        ({"json": {"instances": []}}, 400, "no list of instances"),
        ({"json": {"instances": {"b64": ""}}}, 400, "no list of instances"),
        ({"json": {"instances": [{"b64": "%%%"}]}}, 400, "not valid base64"),
        ({"json": {"instances": [{"b64": 7}]}}, 400, "an instance is not of the form"),
        ({"json": {"instances": ["aGVsbG8="]}}, 400, "an instance is not of the form"),
        ({"json": {"instances": [{"image_bytes": "aGVsbG8="}]}}, 400, "an instance is not of the form"),
        ({"json": {"instances": [{"b64": "aGVsbG8="}]}}, 415, "not a picture"),
        ({"data": b"x", "content_type": "text/plain"}, 415, "the content type 'text/plain' is not read"),
        ({"data": b"x"}, 415, "content type"),
        ({"data": b"", "content_type": "image/png"}, 415, "empty"),
        ({"data": b"\xff\xd8\xff\xe0", "content_type": "image/png"}, 422, "this JPEG cannot be read"),
    ],
)
def test_bad_request_says_what_is_wrong(client, kwargs, status, message):
    assert message in problem(client.post("/predict", **kwargs), status)


def test_one_bad_instance_is_the_error_of_its_entry(client, cat):
    body = {"instances": [{"b64": "%%%"}, {"b64": base64.b64encode(cat).decode()}]}
    first, second = client.post("/predict", json=body).get_json()["predictions"]
    assert first["error"]["status"] == 400
    assert "cat" in second["label"]


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("chat \u00e9t\u00e9 \U0001f408.jpg", "chat \u00e9t\u00e9 \U0001f408.jpg"),
        ("x" * 5000, "x" * 255),
    ],
)
def test_file_name_is_shown_back_without_folders(client, cat, sent, shown):
    assert post(client, (sent, cat)).get_json()["predictions"][0]["filename"] == shown


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("get", "/nothing", 404), ("get", "/predict", 405), ("post", "/model", 405), ("delete", "/", 405)],
)
def test_unknown_path_and_wrong_method_are_problems_too(client, method, path, status):
    response = getattr(client, method)(path)
    problem(response, status)
    assert (status == 405) == ("Allow" in response.headers)


@pytest.fixture(scope="module")
def strict_client():
    """The app with the smallest limits."""
    return create_app(Config(model=str(IMAGENET), max_upload_mb=1, max_pixels=60_000, max_images=2)).test_client()


def test_body_over_the_limit_is_413(strict_client):
    assert "larger than 1 MiB" in problem(post(strict_client, ("a.jpg", b"x" * 2**20)), 413)
    assert "larger than 1 MiB" in problem(
        strict_client.post("/predict", data=b"x" * (2**20 + 1), content_type="image/jpeg"), 413
    )


def test_picture_over_the_pixel_limit_is_413(strict_client, encode):
    large = encode(Image.new("RGB", (300, 300)), "JPEG")
    assert "300 x 300 pixels" in problem(post(strict_client, ("large.jpg", large)), 413)
    small = encode(Image.new("RGB", (200, 200)), "JPEG")
    first, second = post(strict_client, ("s.jpg", small), ("l.jpg", large)).get_json()["predictions"]
    assert "label" in first
    assert second["error"]["status"] == 413


def test_too_many_pictures_are_413(strict_client):
    assert "3 pictures in one request; at most 2" in problem(post(strict_client, *[("a.jpg", b"")] * 3), 413)


def test_busy_server_answers_503_and_says_when_to_come_back(client, app, cat):
    with app.extensions["classifier"].acquire(timeout=1):
        response = post(client, ("cat.jpg", cat))
    assert "busy" in problem(response, 503)
    assert response.headers["Retry-After"] == "1"
    assert post(client, ("cat.jpg", cat)).status_code == 200


@pytest.mark.parametrize("path", ["/predict", "/"])
def test_request_that_has_waited_too_long_is_503(client, cat, path):
    data = {"file": (io.BytesIO(cat), "cat.jpg")}
    response = client.post(path, data=data, environ_overrides={"quintet.queue_seconds": 5.01})
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "1"
    data = {"file": (io.BytesIO(cat), "cat.jpg")}
    assert client.post(path, data=data, environ_overrides={"quintet.queue_seconds": 4.9}).status_code == 200


def test_nothing_of_a_bad_picture_stays(app, cat):
    class Name(str):
        """One that can be watched."""

        __slots__ = ("__weakref__",)

    name = Name("broken.jpg")
    watched = weakref.ref(name)
    gc.disable()  # what is held in circles stays until it runs: 40 MB of pictures, at times
    try:
        with pytest.raises(images.CorruptImageError):
            predictions.predict_all(app.extensions["classifier"], [Upload(name, cat[:2000])], 5, False, 10**6)
        del name
        assert watched() is None
    finally:
        gc.enable()


def test_permit_comes_back_after_a_bad_picture(client, app, cat):
    problem(post(client, ("broken.jpg", cat[:2000])), 422)
    with app.extensions["classifier"].acquire(timeout=0.01):
        pass


def test_requests_side_by_side_get_their_own_answers(app, imagenet):
    wrong, answered = [], []

    def classify(sample):
        content = (imagenet.path / sample["file"]).read_bytes()
        for _ in range(5):
            response = post(app.test_client(), ("x", content))
            if response.status_code == 503:  # more work than can be done in time is turned away
                continue
            entry = response.get_json()["predictions"][0]
            if entry["label"] != sample["expected"]["label"]:
                wrong.append((sample, entry))
            answered.append(sample["file"])

    threads = [threading.Thread(target=classify, args=(sample,)) for sample in imagenet.samples]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(answered) >= 5


def test_error_of_our_own_is_500_and_tells_nothing(client, cat, monkeypatch, caplog):
    def fail(*_):
        raise RuntimeError("secret: /var/keys")

    monkeypatch.setattr(classifier.Network, "classify", fail)
    detail = problem(post(client, ("cat.jpg", cat)), 500)
    assert "secret" not in detail
    assert "secret: /var/keys" in caplog.text


def test_model_is_the_card(client, imagenet):
    assert client.get("/model").get_json() == imagenet.card


@pytest.mark.parametrize("path", ["/health", "/ready", "/_ah/warmup"])
def test_platforms_are_told_that_all_is_well(client, path):
    assert client.get(path).status_code == 200


def test_ready_names_the_version(client, imagenet):
    assert client.get("/ready").text == f"ready: imagenet {imagenet.version}\n"


@pytest.mark.parametrize("path", ["/", "/model", "/nothing", "/assets/page.css"])
def test_no_answer_is_taken_for_another_type(client, path):
    with client.get(path) as answer:  # assets are sent from an open file
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_page_loads_nothing_from_elsewhere(client):
    assert "default-src 'self'" in client.get("/").headers["Content-Security-Policy"]
