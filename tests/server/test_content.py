"""JSON and multipart bodies that are legal for HTTP, but made to cost the app much memory or time, are refused quickly.

Every test has a server of its own, as in tests/server/test_memory.py. Needs Linux, because it reads /proc. Takes about
15 seconds.
"""

import json
import time

import pytest

from bench.peak import Peak
from tests.server.memory import BOUND
from tests.server.serving import request

SECONDS = 1  # for an answer


@pytest.fixture
def server(attacked_server):
    return attacked_server


@pytest.mark.parametrize(
    "body",
    [
        b'{"instances": [' + b",".join([b"{}"] * 700_000) + b"]}",
        b'{"instances": [' + b",".join([b'{"b64":""}'] * 190_000) + b"]}",
        b'{"instances": [' + b",".join([b"[]"] * 700_000) + b"]}",
        b'{"other": [' + b",".join([b"{}"] * 700_000) + b'], "instances": [{"b64": ""}]}',
        b'{"instances": [{"b64": "", "other": [' + b",".join([b"{}"] * 700_000) + b"]}]}",
    ],
    ids=["objects", "images", "lists", "another-field", "within-an-instance"],
)
def test_json_of_many_tiny_values_is_refused_quickly(server, body):
    assert json.loads(body)
    started = time.monotonic()
    with Peak(server.pid) as peak:
        status, _ = request(server.port, "POST", "/predict", body, **{"Content-Type": "application/json"})
    assert status in (400, 413)
    assert time.monotonic() - started < SECONDS
    print("PEAK", round(peak.megabytes))
    assert peak.megabytes <= BOUND


ODD_PARTS = {
    "parameters": b"Content-Disposition: form-data; name=file" + b"; a=b" * 1500,
    "quotes": b'Content-Disposition: form-data; name="' + b'\\"' * 3500 + b'"',
    "no-name": b"Content-Disposition: form-data" + b"; =" * 2500,
    "continuations": b"Content-Disposition: form-data" + b"".join(b"; name*%d*=%%41" % n for n in range(400)),
    "fields": b"\r\n".join([b'Content-Disposition: form-data; name="file"'] + [b"A: b"] * 1200),
}


@pytest.mark.parametrize("name", ODD_PARTS)
def test_odd_headers_of_many_parts_cost_little_time(server, name):
    part = b"--b\r\n" + ODD_PARTS[name] + b"\r\n\r\n\r\n"
    body = part * 950 + b"--b--\r\n"
    started = time.monotonic()
    with Peak(server.pid) as peak:
        status, _ = request(
            server.port, "POST", "/predict", body, 60, **{"Content-Type": "multipart/form-data; boundary=b"}
        )
    assert status in (400, 413, 431)
    assert time.monotonic() - started < SECONDS
    print("PEAK", round(peak.megabytes))
    assert peak.megabytes <= BOUND
