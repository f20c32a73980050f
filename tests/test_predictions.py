"""How long a request may be queued: by the server, and then for the network."""

import math

import pytest

from app import predictions
from app.config import Config
from app.pool import BusyError
from app.uploads import Upload


@pytest.fixture
def predict(app, cat):
    """Classify a photo that the server has queued for so many seconds."""

    def predict(queue_seconds):
        classifier = app.extensions["classifier"]
        return predictions.predict_all(classifier, [Upload("a.jpg", cat)], 1, False, Config.max_pixels, queue_seconds)

    return predict


def test_request_that_was_queued_for_a_second_is_answered(predict):
    assert len(predict(1.0)["predictions"]) == 1


@pytest.mark.parametrize("queue_seconds", [5.0, math.inf])
def test_request_that_was_queued_too_long_is_refused(predict, queue_seconds):
    with pytest.raises(BusyError):
        predict(queue_seconds)


def test_time_in_the_servers_queue_counts_for_the_timeout(app, predict, monkeypatch):
    timeouts = []
    acquire = app.extensions["classifier"].acquire
    monkeypatch.setattr(
        app.extensions["classifier"], "acquire", lambda timeout: (timeouts.append(timeout), acquire(timeout))[1]
    )
    predict(4.5)
    assert timeouts == [0.5]


def test_other_images_of_a_request_that_has_begun_wait_longer(app, cat, monkeypatch):
    classifier, timeouts = app.extensions["classifier"], []
    acquire = classifier.acquire
    monkeypatch.setattr(classifier, "acquire", lambda timeout: (timeouts.append(timeout), acquire(timeout))[1])
    sent = [Upload("a.jpg", cat), Upload("b.jpg", cat)]
    predictions.predict_all(classifier, sent, 1, False, Config.max_pixels)
    assert timeouts == [5, 30]


def test_server_says_how_long_a_request_was_queued(client, cat):
    answer = client.post("/predict", data=cat, content_type="image/jpeg", environ_base={"quintet.queue_seconds": 5.0})
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"
