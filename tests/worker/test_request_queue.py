"""The order of requests, and which ones are refused because of overload."""

import math
from types import SimpleNamespace

import pytest

from app.worker import limits
from app.worker.request_queue import RequestQueue


class Waiting:
    """A connection with a request, as the queue sees it."""

    def __init__(self, client="a", size=10, arrived=0.0):
        self.client, self.reserved, self.arrived = client, size, arrived
        self.request = SimpleNamespace(length=size)
        self.is_late = False


def fill(queue, count, client="a", size=10):
    waiting = [Waiting(client, size) for _ in range(count)]
    for connection in waiting:
        queue.add(connection)
    return waiting


def test_uploads_come_in_order_of_arrival_and_requests_without_a_body_first():
    queue = RequestQueue(4, 100)
    first, second = fill(queue, 2)
    (health,) = fill(queue, 1, size=0)
    assert [queue.pop(0.1) for _ in range(3)] == [(health, 0.1), (first, 0.1), (second, 0.1)]
    assert queue.pop(0.1) is None


def test_uploads_wait_for_a_thread_and_health_checks_do_not():
    queue = RequestQueue(1, 100)
    first, second = fill(queue, 2)
    assert queue.pop(0) == (first, 0)
    assert not queue.can_start(0)
    (health,) = fill(queue, 1, size=0)
    assert queue.pop(0) == (health, 0)
    queue.done(first, 0.1)
    assert queue.pop(0.1) == (second, 0.1)


def test_chunked_body_is_an_upload_although_its_length_was_not_declared():
    queue = RequestQueue(1, 100)
    chunked = Waiting()
    chunked.request.length = None
    queue.add(chunked)
    (health,) = fill(queue, 1, size=0)
    (upload,) = fill(queue, 1)
    assert [queue.pop(0)[0] for _ in range(2)] == [health, chunked]
    assert not queue.can_start(0)
    queue.done(chunked, 0)
    assert queue.pop(0) == (upload, 0)


def test_last_free_thread_is_used():
    queue = RequestQueue(3, 100)
    waiting = fill(queue, 4)
    assert [queue.pop(0)[0] for _ in range(3)] == waiting[:3]
    assert queue.pop(0) is None


def test_bodies_that_are_with_the_application_are_bounded_but_one_always_fits():
    queue = RequestQueue(4, 100)
    large, other = fill(queue, 2, size=150)
    (small,) = fill(queue, 1, size=10)
    assert queue.pop(0) == (large, 0)
    assert queue.pop(0) is None
    queue.done(large, 0)
    assert queue.pop(0) == (other, 0)
    queue.done(other, 0)
    assert queue.pop(0) == (small, 0)


def test_upload_that_has_been_queued_too_long_is_given_out_to_be_refused():
    queue = RequestQueue(1, 100)
    fill(queue, 2)
    queue.pop(0)
    now = limits.QUEUE_SECONDS + 0.1
    assert queue.pop(now)[1] == math.inf


@pytest.mark.parametrize(("client", "seconds"), [("a", math.inf), ("b", 0)])
def test_client_that_fills_a_slow_queue_is_refused_and_others_are_not(client, seconds):
    queue = RequestQueue(4, 100)
    for number in range(30):  # each takes half a second
        (slow,) = fill(queue, 1)
        queue.pop(number / 2)
        queue.done(slow, number / 2 + 0.5)
    fill(queue, limits.ADMIT_ALWAYS)
    for _ in range(4):
        queue.pop(0)
    (last,) = fill(queue, 1, client)
    if seconds:
        assert queue.pop(0) == (last, math.inf)
    else:
        assert not last.is_late


def test_answer_lowers_the_number_of_its_clients_requests_by_one():
    queue = RequestQueue(4, 100)
    queue._seconds = 1.0
    fill(queue, limits.ADMIT_ALWAYS)
    first, _ = queue.pop(0)
    queue.done(first, 1)
    last, too_many = fill(queue, 2)
    assert not last.is_late
    assert too_many.is_late


def test_long_queue_of_quick_uploads_is_accepted():
    queue = RequestQueue(4, 100)
    for number in range(30):
        (quick,) = fill(queue, 1)
        queue.pop(number / 100)
        queue.done(quick, number / 100 + 0.01)
    assert not any(waiting.is_late for waiting in fill(queue, 100))


def test_one_slow_upload_among_quick_ones_does_not_refuse_others():
    queue = RequestQueue(4, 100)
    for number in range(30):
        (quick,) = fill(queue, 1)
        queue.pop(number)
        queue.done(quick, number + 0.01)
    (slow,) = fill(queue, 1)
    queue.pop(30)
    queue.done(slow, 31)
    assert not any(waiting.is_late for waiting in fill(queue, 10))


def test_time_in_which_uploads_overlap_is_counted_once():
    queue = RequestQueue(4, 100)
    for number in range(30):  # two in 0.8 s, at the same time
        first, second = fill(queue, 2)
        queue.pop(number)
        queue.pop(number)
        queue.done(first, number + 0.4)
        queue.done(second, number + 0.8)
    fill(queue, limits.ADMIT_ALWAYS)  # 1.6 s
    (last,) = fill(queue, 1)
    assert not last.is_late


def test_clients_are_forgotten_when_their_requests_are_answered():
    queue = RequestQueue(4, 100)
    for connection in fill(queue, 3):
        queue.pop(0)
        queue.done(connection, 1)
    assert not queue._by_client
    assert queue._running_bytes == 0


def test_many_requests_without_a_body_do_not_keep_uploads_waiting():
    queue = RequestQueue(4, 100)
    (image,) = fill(queue, 1)
    pages = fill(queue, 20, size=0)
    order = [queue.pop(0)[0] for _ in range(21)]
    assert order.index(image) == limits.QUICK_IN_ROW
    assert [each for each in order if each is not image] == pages


def test_next_upload_comes_after_as_many_requests_without_a_body_as_the_first_one():
    queue = RequestQueue(4, 100)
    images = fill(queue, 2)
    fill(queue, 20, size=0)
    order = [queue.pop(0)[0] for _ in range(22)]
    assert [order.index(image) for image in images] == [limits.QUICK_IN_ROW, 2 * limits.QUICK_IN_ROW + 1]


def test_bodies_that_fill_the_bound_exactly_are_answered_at_once():
    queue = RequestQueue(4, 100)
    fill(queue, 2, size=50)
    assert queue.pop(0)
    assert queue.pop(0)


def test_refused_request_does_not_mark_the_next_one_of_its_connection_as_late():
    queue = RequestQueue(4, 100)
    (connection,) = fill(queue, 1, size=0)
    connection.is_late = True
    assert queue.pop(0) == (connection, math.inf)
    queue.done(connection, 0)
    queue.add(connection)
    assert queue.pop(0) == (connection, 0)
