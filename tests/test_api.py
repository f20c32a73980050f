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
from app.problems import Problem
from app.uploads import Upload
from tests.conftest import IMAGENET


def post(client, *files, query="", **kwargs):
    """Send (file name, content) pairs as a form. werkzeug's client would write large ones to temporary files."""
    parts = [
        f'--b\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode() + content + b"\r\n"
        for name, content in files
    ]
    body = b"".join(parts) + b"--b--\r\n"
    return client.post("/predict" + query, data=body, content_type="multipart/form-data; boundary=b", **kwargs)


def form_with(parameters, content=b""):
    """The arguments of a POST request with a form of one part."""
    body = b"--b\r\nContent-Disposition: form-data; " + parameters + b"\r\n\r\n" + content + b"\r\n--b--\r\n"
    return {"data": body, "content_type": "multipart/form-data; boundary=b"}


def problem(response, status):
    """The detail of the problem in `response`, after checking its format."""
    assert response.status_code == status
    assert response.content_type == "application/problem+json"
    body = json.loads(response.data)
    assert set(body) == {"type", "title", "status", "detail"}
    assert body["status"] == status
    assert "\n" not in body["detail"]
    return body["detail"]


def test_multipart_image_is_classified(client, cat, imagenet):
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


def test_every_sample_is_classified_as_the_card_expects(client, imagenet):
    for sample in imagenet.samples:
        content = (imagenet.path / sample["file"]).read_bytes()
        entry = post(client, (sample["file"], content)).get_json()["predictions"][0]
        assert entry["label"] == sample["expected"]["label"]
        assert entry["probability"] == pytest.approx(sample["expected"]["probability"], abs=0.02)
        assert sample["label"] in [one["label"] for one in entry["top"]]


def test_raw_and_json_bodies_get_the_same_response(client, cat):
    form = post(client, ("cat.jpg", cat)).get_json()["predictions"]
    raw = client.post("/predict", data=cat, content_type="image/jpeg").get_json()["predictions"]
    text = base64.b64encode(cat).decode()
    body = {"instances": [{"b64": text}, {"image_bytes": {"b64": text}}]}
    both = client.post("/predict", json=body).get_json()["predictions"]
    without_name = {**form[0], "filename": None}
    assert raw == [without_name]
    assert both == [without_name, without_name]


def test_several_images_are_answered_in_order_with_the_error_of_a_bad_one_in_its_place(client, cat, encode):
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


def test_request_with_only_bad_images_has_the_status_of_the_first(client, cat):
    assert "cannot be decoded" in problem(post(client, ("a.jpg", cat[:2000]), ("b.txt", b"hello")), 422)


@pytest.mark.parametrize(("query", "count"), [("?top=1", 1), ("?top=1000", 1000), ("?top=", 5)])
def test_top_is_the_number_of_labels(client, cat, query, count):
    assert len(post(client, ("cat.jpg", cat), query=query).get_json()["predictions"][0]["top"]) == count


def test_all_probabilities_add_up_to_one(client, cat):
    top = post(client, ("cat.jpg", cat), query="?top=1000").get_json()["predictions"][0]["top"]
    assert sum(one["probability"] for one in top) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("?top=0", "invalid top '0': expected a whole number from 1 to 1000"),
        ("?top=1001", "invalid top '1001'"),
        ("?top=-1", "invalid top '-1'"),
        ("?top=five", "invalid top 'five'"),
        ("?top=5.0", "invalid top '5.0'"),
        ("?top=%D9%A3", "invalid top"),  # an Arabic three, which Python counts as a digit
        ("?top=0000000005", "invalid top '0000000005'"),  # 10 digits
        ("?top=" + "9" * 5000, f"invalid top '{'9' * 40}': expected"),  # int() would fail
        ("?explain=2", "invalid explain '2': expected a whole number from 0 to 1"),
        ("?explain=yes", "invalid explain 'yes'"),
    ],
)
def test_parameter_out_of_range_is_400(client, cat, query, message):
    assert message in problem(post(client, ("cat.jpg", cat), query=query), 400)


@pytest.mark.parametrize("size", [(600, 400), (300, 700)])
def test_heatmap_is_a_png_with_alpha_in_the_images_aspect_ratio(client, cat, encode, size):
    image = encode(Image.open(io.BytesIO(cat)).resize(size), "JPEG")
    (entry,) = post(client, ("cat.jpg", image), query="?explain=1").get_json()["predictions"]
    prefix, text = entry["heatmap"].split(",")
    assert prefix == "data:image/png;base64"
    heatmap = Image.open(io.BytesIO(base64.b64decode(text)))
    assert heatmap.format == "PNG"
    assert heatmap.width / heatmap.height == pytest.approx(size[0] / size[1], rel=0.01)
    alpha = np.asarray(heatmap.convert("RGBA"))[..., 3]
    assert alpha.max() > 100
    assert alpha.min() == 0


def test_heatmap_is_upright_and_marks_where_the_cat_is(client, cat, encode):
    # The cat on the left, and the same image rotated, with an EXIF orientation that rotates it back.
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


def test_heatmap_is_of_the_most_likely_label(client, cat, monkeypatch):
    explained = []
    explain = classifier.Network.explain
    monkeypatch.setattr(
        classifier.Network,
        "explain",
        lambda network, pixels, index: explained.append(index) or explain(network, pixels, index),
    )
    (entry,) = post(client, ("cat.jpg", cat), query="?explain=1&top=2").get_json()["predictions"]
    assert explained == [entry["top"][0]["index"]]


def test_activation_map_belongs_to_its_class(app, cat, imagenet):
    pixels = images.decode(cat, imagenet.width, imagenet.height, imagenet.resize).pixels
    with app.extensions["classifier"].acquire(timeout=1) as network:
        probabilities = network.classify(pixels)
        likely, unlikely = int(probabilities.argmax()), int(probabilities.argmin())
        assert network.explain(pixels, likely).max() > 2 * network.explain(pixels, unlikely).max()


def test_heatmap_of_a_cropped_image_is_transparent_outside_the_crop(client, cat, encode):
    image = encode(Image.open(io.BytesIO(cat)).convert("RGB").resize((800, 400)), "JPEG")
    (entry,) = post(client, ("cat.jpg", image), query="?explain=1").get_json()["predictions"]
    heatmap = Image.open(io.BytesIO(base64.b64decode(entry["heatmap"].split(",")[1])))
    alpha = np.asarray(heatmap.convert("RGBA"))[..., 3]
    # The model sees 0.875 of the middle square: 140 of 320 columns and 140 of 160 rows, in the centre.
    assert alpha.shape == (160, 320)
    assert alpha[:, :90].max() == alpha[:, 230:].max() == alpha[:10].max() == alpha[150:].max() == 0
    assert alpha[10:150, 90:230].max() > 100


def test_model_without_an_explain_signature_has_no_heatmap(client, app, cat, monkeypatch):
    monkeypatch.setattr(app.extensions["classifier"], "explains", False)
    assert "the model imagenet has no heatmap" in problem(post(client, ("cat.jpg", cat), query="?explain=1"), 400)
    assert post(client, ("cat.jpg", cat), query="?explain=0").status_code == 200
    page = client.get("/").text
    assert "heatmap" not in page
    assert "explain" not in page


@pytest.mark.parametrize(
    ("kwargs", "status", "message"),
    [
        ({}, 400, "no image in the request"),
        (
            {"data": {"note": "x"}, "content_type": "multipart/form-data"},
            400,
            "no image in the field 'file' (found 'note')",
        ),
        (form_with(b'name="' + b"x" * 41 + b'"'), 400, f"(found '{'x' * 40}')"),
        ({"data": {"image": (io.BytesIO(b"x"), "a.jpg")}}, 400, "no image in the field 'file' (found 'image')"),
        (form_with(b'name="file"; filename=""'), 400, "no image in the field 'file': choose one"),
        (form_with(b'name="file"; filename="empty.jpg"'), 415, "the image is empty (0 bytes)"),
        ({"data": b"x", "content_type": "multipart/form-data"}, 400, "has no usable boundary"),
        ({"data": b"{", "content_type": "application/json"}, 400, "not valid JSON"),
        ({"data": b"\xff", "content_type": "application/json"}, 400, "not valid JSON"),
        ({"data": b"[" * 1200, "content_type": "application/json"}, 400, "not valid JSON"),  # too deep
        ({"json": 7}, 400, "no list of instances"),
        ({"json": {"inputs": []}}, 400, "no list of instances"),
        ({"json": {"instances": ["a"] * 2000}}, 413, "the JSON has more than 1256 values"),
        ({"json": {"instances": [{"b64": ""}] * 17}}, 413, "17 images in one request; at most 16"),
        (
            form_with(b'name="a"\r\n\r\n\r\n--b\r\nContent-Disposition: form-data; ' * 120 + b'name="a"'),
            413,
            "116 parts",
        ),
        ({"json": []}, 400, "no list of instances"),
        ({"json": {"instances": []}}, 400, "no list of instances"),
        ({"json": {"instances": {"b64": ""}}}, 400, "no list of instances"),
        ({"json": {"instances": [{"b64": "%%%"}]}}, 400, "invalid base64 in b64"),
        ({"json": {"instances": [{"b64": 7}]}}, 400, "invalid instance: expected"),
        ({"json": {"instances": ["aGVsbG8="]}}, 400, "invalid instance: expected"),
        ({"json": {"instances": [{"image_bytes": "aGVsbG8="}]}}, 400, "invalid instance: expected"),
        ({"json": {"instances": [{"b64": "aGVsbG8="}]}}, 415, "not an image"),
        ({"data": b"x", "content_type": "text/plain"}, 415, "the content type 'text/plain' is not supported"),
        ({"data": b"x"}, 415, "the request has no content type"),
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
        ("C:\\photos\\cat.jpg", "cat.jpg"),
        ("chat \u00e9t\u00e9 \U0001f408.jpg", "chat \u00e9t\u00e9 \U0001f408.jpg"),
        ("x" * 5000, "x" * 255),
    ],
)
def test_file_name_is_returned_without_folders(client, cat, sent, shown):
    assert post(client, (sent, cat)).get_json()["predictions"][0]["filename"] == shown


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("get", "/nothing", 404, "Not found: send images to /predict"),
        ("get", "/predict", 405, "Method not allowed: send images with POST"),
        ("post", "/model", 405, "Method not allowed"),
        ("delete", "/", 405, "Method not allowed"),
    ],
)
def test_unknown_path_and_wrong_method_are_problems(client, method, path, status, message):
    response = getattr(client, method)(path)
    assert problem(response, status).startswith(message)
    assert (status == 405) == ("Allow" in response.headers)


@pytest.fixture(scope="module")
def strict_client():
    """The app with the smallest limits."""
    return create_app(Config(model=str(IMAGENET), max_upload_mb=1, max_pixels=60_000, max_images=2)).test_client()


def test_body_of_exactly_the_limit_is_read(strict_client):
    problem(strict_client.post("/predict", data=b"x" * 2**20, content_type="image/jpeg"), 415)


def test_body_over_the_limit_is_413(strict_client):
    assert "larger than 1 MiB" in problem(post(strict_client, ("a.jpg", b"x" * 2**20)), 413)
    assert "larger than 1 MiB" in problem(
        strict_client.post("/predict", data=b"x" * (2**20 + 1), content_type="image/jpeg"), 413
    )


@pytest.mark.parametrize(("size", "status"), [(1000, 422), (2**20, 422), (2**20 + 1, 413)])
def test_chunked_body_over_the_limit_is_413(strict_client, size, status):
    body = io.BytesIO(b"\xff\xd8".ljust(size, b"\0"))  # a corrupt JPEG
    environ = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    problem(
        strict_client.post("/predict", input_stream=body, content_type="image/jpeg", environ_overrides=environ), status
    )


def test_body_is_read_once_and_not_beyond_its_length(client, cat):
    reads = []

    class Body(io.BytesIO):
        def read(self, size=-1):
            reads.append(size)
            return super().read(size)

    body, environ = Body(cat + b"next request"), {"CONTENT_LENGTH": str(len(cat))}
    response = client.post("/predict", input_stream=body, content_type="image/jpeg", environ_overrides=environ)
    assert response.status_code == 200
    assert reads == [len(cat)]


def test_image_over_the_pixel_limit_is_413(strict_client, encode):
    large = encode(Image.new("RGB", (300, 300)), "JPEG")
    assert "300 x 300 pixels" in problem(post(strict_client, ("large.jpg", large)), 413)
    small = encode(Image.new("RGB", (200, 200)), "JPEG")
    first, second = post(strict_client, ("s.jpg", small), ("l.jpg", large)).get_json()["predictions"]
    assert "label" in first
    assert second["error"]["status"] == 413


def test_more_images_than_the_limit_are_413(strict_client):
    assert "3 images in one request; at most 2" in problem(post(strict_client, *[("a.jpg", b"")] * 3), 413)


def test_busy_server_is_503_with_retry_after(client, app, cat):
    with app.extensions["classifier"].acquire(timeout=1):
        response = post(client, ("cat.jpg", cat))
    assert "busy" in problem(response, 503)
    assert response.headers["Retry-After"] == "1"
    assert post(client, ("cat.jpg", cat)).status_code == 200


@pytest.mark.parametrize("path", ["/predict", "/"])
def test_request_that_was_queued_for_five_seconds_is_503(client, cat, path):
    data = {"file": (io.BytesIO(cat), "cat.jpg")}
    response = client.post(path, data=data, environ_overrides={"quintet.queue_seconds": 5.0})
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "1"
    data = {"file": (io.BytesIO(cat), "cat.jpg")}
    assert client.post(path, data=data, environ_overrides={"quintet.queue_seconds": 4.0}).status_code == 200


def test_bad_image_is_freed_without_the_garbage_collector(app, cat):
    class Name(str):
        """A string that supports weak references."""

        __slots__ = ("__weakref__",)

    name = Name("broken.jpg")
    watched = weakref.ref(name)
    gc.disable()  # reference cycles keep images until it runs: up to 40 MB
    try:
        with pytest.raises(Problem):
            predictions.predict_all(app.extensions["classifier"], [Upload(name, cat[:2000])], 5, False, 10**6)
        del name
        assert watched() is None
    finally:
        gc.enable()


def test_network_is_returned_to_the_pool_after_a_bad_image(client, app, cat):
    problem(post(client, ("broken.jpg", cat[:2000])), 422)
    with app.extensions["classifier"].acquire(timeout=0.01):
        pass


def test_concurrent_requests_get_their_own_responses(app, imagenet):
    wrong, answered = [], []

    def classify(sample):
        content = (imagenet.path / sample["file"]).read_bytes()
        for _ in range(5):
            response = post(app.test_client(), ("x", content))
            if response.status_code == 503:  # overload
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


def test_unexpected_error_is_500_and_reveals_nothing(client, cat, monkeypatch, caplog):
    def fail(*_):
        raise RuntimeError("secret: /var/keys")

    monkeypatch.setattr(classifier.Network, "classify", fail)
    detail = problem(post(client, ("cat.jpg", cat)), 500)
    assert detail.startswith("Internal server error: ")
    assert "secret" not in detail
    assert "secret: /var/keys" in caplog.text


def test_model_returns_the_card(client, imagenet):
    assert client.get("/model").get_json() == imagenet.card


@pytest.mark.parametrize("path", ["/health", "/ready", "/_ah/warmup"])
def test_health_endpoints_are_200(client, path):
    assert client.get(path).status_code == 200


def test_health_is_independent_of_the_model(client):
    assert client.get("/health").text == "alive\n"


def test_ready_names_the_version(client, imagenet):
    assert client.get("/ready").text == f"ready: imagenet {imagenet.version}\n"


@pytest.mark.parametrize("path", ["/", "/model", "/nothing", "/assets/page.css"])
def test_every_response_forbids_content_sniffing(client, path):
    with client.get(path) as response:  # the response of an asset holds an open file
        assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_page_may_only_load_its_own_files(client):
    assert "default-src 'self'" in client.get("/").headers["Content-Security-Policy"]
