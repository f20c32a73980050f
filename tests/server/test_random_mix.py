"""No answer is lost, doubled or given to another request, in a random mix of 2,500 requests on many connections.

The mix has requests that are pipelined, split at random places, slow, aborted, malformed, chunked, with
100-continue, and HEAD. Most answers repeat an identity that their request has sent. The seed is printed;
RANDOM_MIX_SEED repeats a run. Needs only the serving environment (.venv). Takes about 15 seconds.
"""

import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from tests.server.mix import Expected, Mix
from tests.server.photos import slow, small
from tests.server.serving import serving
from tests.server.wire import Answer, Client, WireError

CONNECTIONS = 12  # at once
REQUESTS = 2500
_IDENTITY = re.compile(r"id-\d{6}-")


@dataclass
class Found:
    """One conversation: its wrong answers, uploads that got 503, and how often the server closed the connection early.

    A server may close a connection after any answer that says `Connection: close`. It has then not read the requests
    after it, and a client sends them again on another connection.
    """

    wrong: list[str] = field(default_factory=list)
    busy: int = 0
    closed_early: int = 0


def hold(talk, mix, port):
    """Send one conversation, on a new connection again and again if the server closes one early."""
    found = Found()
    at = 0
    while at < len(talk.requests):
        with Client(port, timeout=30) as client:
            try:
                at = send(talk, mix, client, at, found)
            except WireError as error:
                found.wrong.append(f"{talk.way}, {len(talk.requests)} requests: {error}")
                return found
        found.closed_early += at < len(talk.requests)
    return found


def send(talk, mix, client, at, found):
    """Send the requests from number `at` on, and compare their answers: the number of the first one without answer."""
    data = b"".join(talk.requests[at:])
    if talk.way == "aborted":
        client.send(data[: mix.until(len(data))])
        return len(talk.requests)
    if talk.way != "one by one":
        for piece in mix.split(data, 30 if talk.way == "slow" else 3):
            client.send(piece)
            time.sleep(mix.pause())
    for number in range(at, len(talk.requests)):
        if talk.way == "one by one":
            client.send(talk.requests[number])
        expected, answer = talk.expected[number], final(client, talk.expected[number])
        if not fits(expected, answer):
            found.wrong.append(f"{talk.way}, request {number + 1} of {len(talk.requests)}: {expected}, got {answer}")
        found.busy += bool(answer) and answer.status == 503
        if answer and answer.fields["connection"] == "close":
            if extra := client.read(5):
                found.wrong.append(f"{talk.way}: after the last answer came {extra}")
            return number + 1
    if talk.ends:
        found.wrong.append(f"{talk.way}: the last answer has no Connection: close")
    client.send(b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = client.read()
    if not answer or not answer.content.startswith(b"ready"):
        found.wrong.append(f"{talk.way}: the next request on the connection got {answer}")
    return len(talk.requests)


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
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        mixes = [Mix(seed + number, b"", b"") for number in range(len(talks))]
        found = list(pool.map(lambda talk, mix: hold(talk, mix, server.port), talks, mixes))
    wrong = [f"conversation {number}, {text}" for number, each in enumerate(found) for text in each.wrong]
    assert not wrong, "\n".join([f"{len(wrong)} answers are wrong; the first ones:", *wrong[:10]])
    # Otherwise the test has not tested much.
    assert (
        sum(each.busy for each in found) <= sum(expected.is_upload for talk in talks for expected in talk.expected) / 10
    )
    assert sum(each.closed_early for each in found) <= len(talks) / 10


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
