import base64
import json
import time
import tracemalloc

import pytest

from app import json_body
from app.problems import Problem


def parse(body, max_images=16):
    return json_body.parse(body, max_images)


def instances(*contents):
    return json.dumps({"instances": [{"b64": base64.b64encode(content).decode()} for content in contents]}).encode()


def repeated(value, megabytes):
    """A list that repeats `value` and has about so many megabytes."""
    return b'{"instances": [' + b",".join([value] * (megabytes * 2**20 // (len(value) + 1))) + b"]}"


@pytest.mark.parametrize(
    ("value", "megabytes"),
    [(b'{"b64":""}', 2), (b"{}", 2), (b'{"b64":""}', 19), (b'"a"', 19), (b"[]", 19), (b"{}", 19), (b"0", 19)],
)
def test_many_tiny_values_are_413_before_an_object_is_made_of_each(value, megabytes):
    body = repeated(value, megabytes)
    tracemalloc.start()
    started = time.process_time()
    try:
        with pytest.raises(Problem, match="the JSON has more than 1256 values: send at most 16 images") as raised:
            parse(body)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert raised.value.status == 413
    assert peak < 100_000
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize("body", [b"[" * 2000, b'{"a":' * 2000, b"[" + b'"",' * 1300, b'{"a":1' + b',"b":2' * 700])
def test_every_kind_of_value_counts(body):
    with pytest.raises(Problem, match="values"):
        parse(body)


def test_limit_of_values_grows_with_the_limit_of_images():
    body = instances(*[b"x"] * 500)
    with pytest.raises(Problem, match="more than 1256 values"):
        parse(body)
    assert parse(body, max_images=500) == [b"x"] * 500


def test_exactly_as_many_values_as_allowed_are_parsed():
    other = b'{"x": [0], "instances": [{"b64": "eA=="}]}'
    count = sum(other.count(mark) for mark in (b",", b":", b"[", b"{"))
    body = other.replace(b"0", b"0" + b",0" * (1256 - count), 1)
    assert parse(body) == [b"x"]
    with pytest.raises(Problem, match="values"):
        parse(body.replace(b"0", b"0,0", 1))


def test_body_of_the_largest_size_is_parsed():
    images = [bytes([number]) * 900_000 for number in range(16)]
    body = instances(*images)
    assert 18 * 2**20 < len(body) < 20 * 2**20
    assert parse(body) == images


def test_both_forms_of_an_instance_are_read():
    assert parse(b'{"instances": [{"b64": "eA=="}, {"image_bytes": {"b64": "eQ=="}}]}') == [b"x", b"y"]


def test_other_fields_are_ignored_in_any_language():
    body = '{"parameters": {"note": "\u00e9 \U0001f408"}, "instances": [{"b64": "eA==", "name": "\u732b"}]}'
    assert parse(body.encode()) == [b"x"]


def test_escaped_base64_and_a_byte_order_mark_are_read():
    assert parse(b'\xef\xbb\xbf{"instances": [{"b64": "\\u002b\\/8="}]}') == [b"\xfb\xff"]


def test_one_character_outside_latin_1_does_not_multiply_the_memory():
    body = '{"note": "{}\U0001f408"}'.replace("{}", "x" * 4_000_000).encode()
    tracemalloc.start()
    try:
        with pytest.raises(Problem, match="no list of instances"):
            parse(body)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2.2 * len(body)
