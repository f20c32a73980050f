"""Parse a multipart/form-data body (RFC 7578) that is already in memory."""

import re
from typing import NamedTuple
from urllib.parse import unquote

from multipart import MultipartError, MultipartSegment, PushMultipartParser

from app.problems import Problem

_MAX_BOUNDARY = 200  # characters; RFC 2046 allows 70
_MAX_FIELDS = 100  # parts of a form, besides the images
# Of one part. Strict mode refuses folded headers; their parsing time grows with the square of their length.
_HEADER_LIMITS = {"max_header_count": 8, "max_header_size": 8192, "strict": True}
# RFC 7578 forbids this notation of RFC 5987, but old clients send it, and the package does not read it.
_EXTENDED_FILENAME = re.compile(r"filename\*=utf-8'[^']*'([^;\s]+)", re.IGNORECASE)


class Part(NamedTuple):
    """One field of the form; `filename` is None if the client sent none."""

    name: str
    filename: str | None
    content: bytes


def parse(body: bytes, boundary: str, max_images: int) -> list[Part]:
    """The parts of `body`, in the order sent.

    Raises Problem 400 if the body is malformed, and Problem 413 if it has over 100 parts more than `max_images`.
    """
    if not boundary or len(boundary) > _MAX_BOUNDARY:
        raise _malformed("the content type multipart/form-data has no usable boundary")
    max_parts = max_images + _MAX_FIELDS
    parts: list[Part] = []
    try:
        # Latin-1 decodes every byte, so that a file name in an unknown encoding does not fail the request.
        with PushMultipartParser(boundary, header_charset="latin-1", **_HEADER_LIMITS) as parser:
            for event in parser.parse(body):
                if isinstance(event, MultipartSegment):
                    segment, content = event, b""
                elif event is not None:
                    content = event  # all of it, because the whole body is parsed in one call
                elif len(parts) < max_parts:
                    parts.append(Part(_utf8(segment.name), _filename(segment), content))
                else:
                    raise Problem(413, f"the form has more than {max_parts} parts: send at most {max_images} images")
    except MultipartError as error:
        raise _malformed(f"invalid multipart body ({error})") from error
    return parts


def _malformed(detail: str) -> Problem:
    return Problem(400, f"{detail}: send it with curl -F file=@cat.jpg")


def _filename(segment: MultipartSegment) -> str | None:
    if segment.filename is not None:
        return _utf8(segment.filename)
    extended = _EXTENDED_FILENAME.search(segment.header("Content-Disposition"))
    return unquote(extended[1]) if extended else None


def _utf8(text: str) -> str:
    return text.encode("latin-1").decode("utf-8", "replace")
