"""The application's answer, and its bytes on the wire."""

import pytest

from app.worker import wsgi


def fields(answer):
    head, _, content = answer.partition(b"\r\n\r\n")
    return head.split(b"\r\n"), content


def test_answer_has_its_length_and_says_whether_the_connection_is_kept():
    head, content = fields(wsgi.answer("GET", "200 OK", [("A", "b")], b"hello", keep_alive=True))
    assert head[0] == b"HTTP/1.1 200 OK"
    assert {b"A: b", b"Content-Length: 5", b"Connection: keep-alive"} <= set(head)
    assert content == b"hello"
    assert b"Connection: close" in fields(wsgi.answer("GET", "200 OK", [], b"", keep_alive=False))[0]


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_status_without_content_has_no_length_either(status):
    head, content = fields(wsgi.answer("GET", status, [], b"", keep_alive=True))
    assert not [line for line in head if line.startswith(b"Content-Length")]
    assert content == b""


def test_answer_to_head_has_the_length_of_the_content_but_not_the_content():
    head, content = fields(wsgi.answer("HEAD", "200 OK", [], b"hello", keep_alive=True))
    assert b"Content-Length: 5" in head
    assert content == b""


class Content(list):
    is_closed = False

    def close(self):
        self.is_closed = True


def test_content_of_the_application_is_closed():
    content = Content([b"a", b"b"])

    def application(_environ, start_response):
        start_response("200 OK", [("A", "b")])
        return content

    assert wsgi.call(application, {}) == ("200 OK", [("A", "b")], b"ab")
    assert content.is_closed


def test_content_that_the_application_writes_comes_before_what_it_returns():
    def application(_environ, start_response):
        start_response("200 OK", [])(b"written, ")
        return [b"returned"]

    assert wsgi.call(application, {})[2] == b"written, returned"
