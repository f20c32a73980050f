import contextlib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder

from app import multipart

DISPOSITION = b'Content-Disposition: form-data; name="file"; filename="c.jpg"'


def parse(body, boundary="b"):
    return multipart.parse(body, boundary)


def body_of(*parts, end=b"--b--\r\n"):
    return b"".join(b"--b\r\n" + head + b"\r\n\r\n" + content + b"\r\n" for head, content in parts) + end


names = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"\\%'), min_size=1)


@given(st.lists(st.tuples(names, st.binary()), min_size=1, max_size=4))
def test_reads_what_a_client_library_writes(files):
    data = {"file": [(io.BytesIO(content), name) for name, content in files]}
    with contextlib.closing(EnvironBuilder(method="POST", data=data)) as builder:
        environ = builder.get_environ()
        body = environ["wsgi.input"].read()
        boundary = environ["CONTENT_TYPE"].partition("boundary=")[2].strip('"')
    assert [(part.filename, part.content) for part in parse(body, boundary)] == files


@given(st.binary(), st.binary())
def test_any_bytes_are_parsed_or_refused(left, right):
    for body in (left, b"--b\r\n" + left, body_of((left, right)), body_of((DISPOSITION, left), end=right)):
        try:
            parse(body)
        except multipart.MultipartError as error:
            message = str(error)
            assert "\n" not in message


def test_fields_and_files_keep_their_order():
    parts = parse(body_of((b'content-disposition: form-data; name="note"', b"hi"), (DISPOSITION, b"\r\n--c\r\n")))
    assert parts == [multipart.Part("note", None, b"hi"), multipart.Part("file", "c.jpg", b"\r\n--c\r\n")]


def test_preamble_and_epilogue_are_ignored():
    assert parse(b"preamble\r\n" + body_of((DISPOSITION, b"x")) + b"epilogue")[0].content == b"x"


def test_empty_part_is_empty():
    assert parse(b"--b\r\n" + DISPOSITION + b"\r\n\r\n\r\n--b--")[0].content == b""
    assert parse(b"--b--") == []


def test_file_name_in_utf8_and_in_extended_notation():
    plain = b'Content-Disposition: form-data; name="file"; filename="\xc3\xa9t\xc3\xa9.jpg"'
    extended = b"Content-Disposition: form-data; name=file; filename*=UTF-8''%C3%A9t%C3%A9.jpg"
    broken = b'Content-Disposition: form-data; name="file"; filename="\xff.jpg"'
    names = [part.filename for part in parse(body_of((plain, b""), (extended, b""), (broken, b"")))]
    assert names == ["\u00e9t\u00e9.jpg", "\u00e9t\u00e9.jpg", "\ufffd.jpg"]


@pytest.mark.parametrize(
    ("body", "boundary", "message"),
    [
        (b"", "", "no usable boundary"),
        (b"", "b" * 201, "no usable boundary"),
        (b"", "b", "does not contain its boundary"),
        (b"--c\r\n", "b", "does not contain its boundary"),
        (b"--b", "b", "no headers, or too many"),
        (b"--bx\r\n" + DISPOSITION + b"\r\n\r\nx\r\n--b--", "b", "no headers, or too many"),
        (b"--b\r\n" + DISPOSITION + b"\r\nX-Filler: y" * 9000 + b"\r\n\r\nx\r\n--b--", "b", "no headers, or too many"),
        (b"--b\r\n" + DISPOSITION + b"\r\n\r\nx", "b", "it was cut off"),
        (body_of((b"Content-Type: image/png", b"x")), "b", "has no name"),
        (body_of((b'Content-Disposition: attachment; name="file"', b"x")), "b", "has no name"),
        (body_of(*[(DISPOSITION, b"x")] * 1001), "b", "more than 1000 parts"),
    ],
)
def test_malformed_body_says_what_is_wrong(body, boundary, message):
    with pytest.raises(multipart.MultipartError, match=message):
        parse(body, boundary)
