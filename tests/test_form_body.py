import contextlib
import io
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder

from app import form_body
from app.problems import Problem

DISPOSITION = b'Content-Disposition: form-data; name="file"; filename="c.jpg"'


def parse(body, boundary="b", max_images=16):
    return form_body.parse(body, boundary, max_images)


def form(*parts, end=b"--b--\r\n"):
    return b"".join(b"--b\r\n" + header + b"\r\n\r\n" + content + b"\r\n" for header, content in parts) + end


def filename(header):
    (part,) = parse(form((header, b"")))
    return part.filename


file_names = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"\\%'), min_size=1)


# werkzeug's client omits the blank line of an empty part, which no browser or HTTP library does.
@given(st.lists(st.tuples(file_names, st.binary(min_size=1)), min_size=1, max_size=4))
def test_form_of_a_client_library_is_parsed(files):
    data = {"file": [(io.BytesIO(content), name) for name, content in files]}
    with contextlib.closing(EnvironBuilder(method="POST", data=data)) as builder:
        environ = builder.get_environ()
        body = environ["wsgi.input"].read()
        boundary = environ["CONTENT_TYPE"].partition("boundary=")[2].strip('"')
    assert [(part.filename, part.content) for part in parse(body, boundary)] == files


@given(st.binary(), st.binary())
def test_any_bytes_are_parsed_or_refused(left, right):
    for body in (left, b"--b\r\n" + left, form((left, right)), form((DISPOSITION, left), end=right)):
        with contextlib.suppress(Problem):  # any other exception fails the test
            parse(body)


def test_parts_keep_their_order():
    parts = parse(form((b'content-disposition: form-data; name="note"', b"hi"), (DISPOSITION, b"\r\n--c\r\n")))
    assert parts == [form_body.Part("note", None, b"hi"), form_body.Part("file", "c.jpg", b"\r\n--c\r\n")]


def test_preamble_and_epilogue_are_ignored():
    assert parse(b"preamble\r\n" + form((DISPOSITION, b"x")) + b"epilogue")[0].content == b"x"


def test_empty_part_does_not_repeat_the_content_of_the_part_before():
    assert [part.content for part in parse(form((DISPOSITION, b"x"), (DISPOSITION, b"")))] == [b"x", b""]


def test_form_without_parts_is_empty():
    assert parse(b"--b--") == []


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b'form-data; name="file"; filename="\xc3\xa9t\xc3\xa9.jpg"', "\u00e9t\u00e9.jpg"),
        (b"form-data; name=file; filename*=UTF-8''%C3%A9t%C3%A9.jpg", "\u00e9t\u00e9.jpg"),
        (b"form-data; filename*=utf-8'fr'%C3%A9.jpg; name=file", "\u00e9.jpg"),
        (b'form-data; name="file"; filename="\xff.jpg"', "\ufffd.jpg"),  # not UTF-8
        (b'form-data; name="file"; filename="a%22b.jpg"', 'a"b.jpg'),  # as browsers escape it
        (rb'form-data; name="file"; filename="a\"b.jpg"', 'a"b.jpg'),  # as curl escapes it
        (b'form-data; name="file"; filename="50%25.jpg"', "50%25.jpg"),  # browsers do not escape %
        (b"form-data; name=file; filename=plain.jpg", "plain.jpg"),
        (b'form-data; filename="first.jpg"; name="file"', "first.jpg"),
        (b'form-data; name="file"; filename=""', ""),
        (b'form-data; name="file"', None),
    ],
)
def test_file_name_is_read_in_every_notation(header, expected):
    assert filename(b"Content-Disposition: " + header) == expected


def test_field_name_is_utf8():
    (part,) = parse(form((b'Content-Disposition: form-data; name="\xc3\xa9"', b"")))
    assert part.name == "\u00e9"


@pytest.mark.parametrize(
    ("body", "boundary", "message"),
    [
        (b"", "", "no usable boundary"),
        (b"", "b" * 201, "no usable boundary"),
        (b"", "b", "Unexpected end"),
        (b"--c\r\n", "b", "Boundary not found"),
        (b"--b", "b", "Unexpected end"),
        (b"--bx\r\n" + DISPOSITION + b"\r\n\r\nx\r\n--b--", "b", "Unexpected byte after first boundary"),
        (form((DISPOSITION + b"\r\nX-Filler: y" * 8, b"x")), "b", "header count exceeded"),
        (form((DISPOSITION + b"\r\nX-Filler: " + b"y" * 8192, b"x")), "b", "header length exceeded"),
        (form((DISPOSITION + b"\r\n folded", b"x")), "b", "header continuation"),
        (b"--b\r\n" + DISPOSITION + b"\r\n\r\nx", "b", "Unexpected end"),
        (form((b"Content-Type: image/png", b"x")), "b", "Missing Content-Disposition"),
        (form((b'Content-Disposition: attachment; name="file"', b"x")), "b", "Wrong type"),
        (form((b"Content-Disposition: form-data", b"x")), "b", "Missing name"),
    ],
)
def test_malformed_body_is_400_and_says_what_is_wrong(body, boundary, message):
    with pytest.raises(Problem, match=message) as raised:
        parse(body, boundary)
    assert raised.value.status == 400
    assert raised.value.detail.endswith("send it with curl -F file=@cat.jpg")


def test_boundary_of_200_characters_is_usable():
    assert parse(b"--" + b"b" * 200 + b"--", "b" * 200) == []


def test_seven_more_headers_and_a_long_file_name_are_allowed():
    headers = DISPOSITION.replace(b"c.jpg", b"x" * 8000) + b"\r\nX-Filler: y" * 7
    assert filename(headers) == "x" * 8000


def test_form_may_have_100_fields_besides_the_images():
    field = (b'Content-Disposition: form-data; name="note"', b"x")
    assert len(parse(form(*[field] * 102), max_images=2)) == 102
    with pytest.raises(Problem, match="the form has more than 102 parts: send at most 2 images") as raised:
        parse(form(*[field] * 103), max_images=2)
    assert raised.value.status == 413


@pytest.mark.parametrize(
    "parameters",
    [b";" * 8000, b";a=b" * 1900, b"".join(b";a*%d=b" % i for i in range(900)), b';a="\\' * 1500, b"; " * 4000],
)
def test_many_unusual_headers_are_parsed_in_little_time(parameters):
    header = b"Content-Disposition: form-data; name=file" + parameters
    body = form(*[(header, b"x")] * 900)  # 7 MB; took up to 1.9 s
    started = time.process_time()
    with pytest.raises(Problem):
        parse(body)
    assert time.process_time() - started < 0.5
