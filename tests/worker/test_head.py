"""Heads of requests. tests/server/ has the conformance suite; here is what the application sees of them."""

import pytest

from app.problems import Problem
from app.worker import head

MANY = b"".join(b"A%d: b\r\n" % number for number in range(101))


def parse(line=b"GET / HTTP/1.1", fields=b"Host: x\r\n"):
    return head.parse(line + b"\r\n" + fields + b"\r\n")


def test_environ_has_what_wsgi_requires():
    parsed = parse(b"POST /predict?top=3 HTTP/1.1", b"Host: x\r\nContent-Type: image/jpeg\r\nContent-Length: 5\r\n")
    expected = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/predict",
        "QUERY_STRING": "top=3",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_TYPE": "image/jpeg",
        "CONTENT_LENGTH": "5",
        "HTTP_HOST": "x",
    }
    assert expected.items() <= parsed.environ.items()
    assert (parsed.length, parsed.keep_alive, parsed.expects_continue) == (5, True, False)


@pytest.mark.parametrize(
    ("target", "path", "query", "host"),
    [
        (b"/a%20b?c=%20", "/a b", "c=%20", "x"),
        (b"http://somewhere:80/a?b", "/a", "b", "somewhere:80"),
        (b"http://somewhere", "/", "", "somewhere"),
        (b"//a", "//a", "", "x"),
        (b"/%C3%A4", "/\xc3\xa4", "", "x"),  # WSGI's way to write bytes in a string
    ],
)
def test_target_is_split_into_path_and_query(target, path, query, host):
    environ = parse(b"GET " + target + b" HTTP/1.1").environ
    assert (environ["PATH_INFO"], environ["QUERY_STRING"], environ["HTTP_HOST"]) == (path, query, host)


def test_head_with_100_headers_is_accepted():
    fields = MANY[: MANY.rindex(b"A99")]  # and Host
    assert len(parse(fields=b"Host: x\r\n" + fields).environ) > 100


def test_path_below_script_name_is_relative_to_it(monkeypatch):
    monkeypatch.setitem(head._BASE, "SCRIPT_NAME", "/classifier")
    environ = parse(b"GET /classifier/health HTTP/1.1").environ
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/classifier", "/health")


def test_header_with_an_underscore_is_not_taken_for_one_with_a_hyphen():
    environ = parse(fields=b"Host: x\r\nX-User: a\r\nX_User: b\r\nAccept: c\r\nAccept: d\r\n").environ
    assert environ["HTTP_X_USER"] == "a"
    assert environ["HTTP_ACCEPT"] == "c,d"


@pytest.mark.parametrize(
    ("line", "fields", "keep_alive"),
    [
        (b"GET / HTTP/1.1", b"", True),
        (b"GET / HTTP/1.1", b"Connection: TE, Close\r\n", False),
        (b"GET / HTTP/1.0", b"", False),
        (b"GET / HTTP/1.0", b"Connection: keep-alive\r\n", True),
        (b"GET / HTTP/1.1", b"Connection: upgrade\r\nUpgrade: websocket\r\n", False),
    ],
)
def test_connection_is_kept_as_the_client_asks(line, fields, keep_alive):
    parsed = parse(line, b"Host: x\r\n" + fields)
    assert parsed.keep_alive == keep_alive
    assert "HTTP_UPGRADE" not in parsed.environ


@pytest.mark.parametrize(
    ("line", "fields", "status"),
    [
        (b"GET / HTTP/1.1", b"", 400),  # no Host
        (b"GET / HTTP/1.1", b"Host: x\r\nHost: x\r\n", 400),
        (b"GET / HTTP/1.1", b"Host: a b\r\n", 400),
        (b"GET  / HTTP/1.1", b"Host: x\r\n", 400),
        (b"GET /", b"Host: x\r\n", 400),
        (b"GET / HTTP/2.0", b"Host: x\r\n", 505),
        (b"PRI * HTTP/2.0", b"", 505),
        (b"FOO / HTTP/1.1", b"Host: x\r\n", 501),
        (b"GET http://[/ HTTP/1.1", b"Host: x\r\n", 400),
        (b"GET / HTTP/1.1", b"Host: x\r\n" + MANY, 431),
        (b"GET / HTTP/1.1", b"Host: x\r\nExpect: more\r\n", 417),
        (b"POST / HTTP/1.0", b"Transfer-Encoding: chunked\r\n", 400),
        (b"POST / HTTP/1.1", b"Host: x\r\nTransfer-Encoding: gzip, chunked\r\n", 501),
        (b"POST / HTTP/1.1", b"Host: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n", 400),
        (b"POST / HTTP/1.1", b"Host: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n", 400),
        (b"GET / HTTP/1.1", b"Host: x\r\nA: b\r\n c\r\n", 400),
        (b"GET / HTTP/1.1", b"Host: x\r\nA : b\r\n", 400),
        (b"GET / HTTP/1.1", b"Host: x\r\nA: b\x01\r\n", 400),
    ],
)
def test_head_that_violates_rfc_9112_is_refused(line, fields, status):
    with pytest.raises(Problem) as caught:
        parse(line, fields)
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01", 400),  # TLS
        (b"GET /\r\n", 400),  # HTTP/0.9
        (b"\n", 400),
        (b"\r\n" * 100, 400),
        (b"GET / HTTP/1.1\nHost: x\n", 400),
        (b"GET / HTTP/1.1\r\nA: b\rc", 400),
        (b"GET / HTTP/1.1\r\nA: " + b"b" * 40_000, 431),
        (b"GET /" + b"b" * 40_000, 414),
    ],
)
def test_unfinished_head_that_cannot_become_valid_is_refused_at_once(data, status):
    with pytest.raises(Problem) as caught:
        head.take(bytearray(data))
    assert caught.value.status == status


@pytest.mark.parametrize(
    "data",
    [b"G", b"GET / HTTP/1.1\r", b"GET / HTTP/1.1\r\nA: b\r\n", b"GET / HTTP/1.1\r\nA: b\r", b"\r", b"\r\n\r", b"\r\nG"],
)
def test_unfinished_head_may_go_on(data):
    left = bytearray(data)
    assert head.take(left) is None
    assert left == data


def test_empty_lines_before_a_head_are_ignored_and_what_follows_it_is_left():
    data = bytearray(b"\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\nhello")
    assert head.take(data) == b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    assert data == b"hello"
