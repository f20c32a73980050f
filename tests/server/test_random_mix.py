"""No answer is lost, doubled or given to another request, in a random mix of 2,500 requests on many connections.

The mix has requests that are pipelined, split at random places, slow, aborted, malformed, chunked, with
100-continue, and HEAD. Most answers repeat an identity that their request has sent. The seed is printed;
RANDOM_MIX_SEED repeats a run. Needs only the serving environment (.venv). Takes about 15 seconds.
"""

import os
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.server.mix import Expected, Mix
from tests.server.photos import slow, small
from tests.server.serving import serving
from tests.server.wire import Answer, Client, WireError

CONNECTIONS = 12  # at once
REQUESTS = 2500
_IDENTITY = re.compile(r"id-\d{6}-")


def hold(talk, mix, port):
    """Send one conversation: the answers that were wrong, and the number of uploads that were answered with 503."""
    try:
        return converse(talk, mix, port)
    except WireError as error:
        return [f"{talk.way}, {len(talk.requests)} requests: {error}"], 0


def converse(talk, mix, port):
    with Client(port, timeout=30) as client:
        if talk.way == "one by one":
            found = []
            for request, expected in zip(talk.requests, talk.expected, strict=True):
                client.send(request)
                found.append(final(client, expected))
        else:
            data = b"".join(talk.requests)
            if talk.way == "aborted":
                client.send(data[: mix.until(len(data))])
                return [], 0
            for piece in mix.split(data, 30 if talk.way == "slow" else 3):
                client.send(piece)
                time.sleep(mix.pause())
            found = [final(client, expected) for expected in talk.expected]
        wrong = [
            f"{talk.way}, request {number + 1} of {len(found)}: expected {expected}, got {answer}"
            for number, (expected, answer) in enumerate(zip(talk.expected, found, strict=True))
            if not fits(expected, answer)
        ]
        if not talk.ends:
            client.send(b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = client.read()
            if not answer or not answer.content.startswith(b"ready"):
                wrong.append(f"{talk.way}: one answer too many, {answer}")
        elif answer := client.read(5):
            wrong.append(f"{talk.way}: one answer too many, {answer}")
        return wrong, sum(bool(answer) and answer.status == 503 for answer in found)


def final(client, expected):
    """The next answer that is not interim."""
    while (answer := client.read(without_content=expected.without_content)) and answer.status == 100:
        pass
    return answer


def fits(expected, answer):
    if not answer:
        return False
    identities = set(_IDENTITY.findall(answer.content.decode()))
    if answer.status == 503 and expected.is_upload:
        return not identities
    return answer.status == expected.status and identities == ({expected.identity} - {None})


@pytest.fixture(scope="module", params=[1, 2], ids=["one-worker", "two-workers"])
def server(request):
    with serving(MAX_UPLOAD_MB=1, WEB_CONCURRENCY=request.param) as server:
        yield server


def test_no_answer_is_lost_doubled_or_swapped(server):
    seed = int(os.environ.get("RANDOM_MIX_SEED") or time.time_ns() % 10**9)
    print(f"RANDOM_MIX_SEED={seed}")
    mix = Mix(seed, small(), slow())
    talks = []
    while sum(len(talk.requests) for talk in talks if talk.way != "aborted") < REQUESTS:
        talks.append(mix.conversation())
    wrong, busy = [], 0
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for number, (found, refused) in enumerate(
            pool.map(lambda item: hold(item[1], Mix(seed + item[0], b"", b""), server.port), enumerate(talks))
        ):
            wrong += [f"conversation {number}, {text}" for text in found]
            busy += refused
    assert not wrong, "\n".join([f"{len(wrong)} answers are wrong; the first ones:", *wrong[:10]])
    uploads = sum(expected.is_upload for talk in talks for expected in talk.expected)
    assert busy <= uploads / 10  # otherwise the test has not tested much


@pytest.mark.parametrize(
    ("status", "content", "is_right"),
    [
        (400, b"top is 'id-000001-'", True),
        (400, b"top is 'id-000002-'", False),
        (400, b"", False),
        (400, b"id-000001- id-000002-", False),
        (200, b"id-000001-", False),
    ],
)
def test_answer_of_another_request_does_not_fit(status, content, is_right):
    assert fits(Expected(400, "id-000001-"), Answer(status, {}, content)) is is_right
