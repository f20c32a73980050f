"""multipart/form-data (RFC 7578) from bytes already in memory.

The body is whole and bounded (MAX_UPLOAD_MB) before it is parsed, so a search for the boundary is all that it takes:
a parser made for streams of unknown length spends longer on a phone photo than its decoding does.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from werkzeug.http import parse_options_header

_MAX_PARTS = 1000
_MAX_HEADER = 8192  # bytes of all headers of one part
# What browsers and curl write; anything else goes to werkzeug's parser, which takes its time.
_DISPOSITION = re.compile(rb'form-data; name="([^"\\%]*)"(?:; filename="([^"\\%]*)")?')


class MultipartError(Exception):
    """The body is not multipart/form-data; the message is one line."""


class Part(NamedTuple):
    """One field of the form; `filename` is None for a field that is not a file."""

    name: str
    filename: str | None
    content: bytes


def parse(body: bytes, boundary: str) -> list[Part]:
    """The parts of `body`, in order. Raises MultipartError."""
    if not boundary or len(boundary) > 200:
        raise MultipartError("the content type multipart/form-data has no usable boundary")
    return list(_parts(body, b"--" + boundary.encode("latin-1", "replace")))


def _parts(body: bytes, delimiter: bytes) -> Iterator[Part]:
    at = 0 if body.startswith(delimiter) else body.find(b"\r\n" + delimiter) + 2  # what precedes it is a preamble
    if at == 1:
        raise MultipartError("the multipart body does not contain its boundary")
    for _ in range(_MAX_PARTS + 1):
        at += len(delimiter)
        if body.startswith(b"--", at):
            return
        line = body.find(b"\r\n", at, at + 256)
        head = body.find(b"\r\n\r\n", line, line + _MAX_HEADER) if line >= 0 and not body[at:line].strip() else -1
        if head < 0:
            raise MultipartError("a part of the multipart body has no headers, or too many")
        end = body.find(b"\r\n" + delimiter, head + 2)  # from the blank line on: a part may be empty
        if end < 0:
            raise MultipartError("the multipart body ends before its last boundary: it was cut off")
        yield _part(body[line + 2 : head], body[head + 4 : max(end, head + 4)])
        at = end + 2
    raise MultipartError(f"the multipart body has more than {_MAX_PARTS} parts")


def _part(head: bytes, content: bytes) -> Part:
    for line in head.split(b"\r\n"):
        key, _, value = line.partition(b":")
        if key.strip().lower() != b"content-disposition":
            continue
        if plain := _DISPOSITION.fullmatch(value.strip()):
            name, filename = (text and text.decode("utf-8", "replace") for text in plain.groups())
            return Part(name, filename, content)
        kind, options = parse_options_header(value.decode("utf-8", "replace").strip())
        if kind == "form-data" and "name" in options:
            return Part(options["name"], options.get("filename"), content)
    raise MultipartError("a part of the multipart body has no name (Content-Disposition: form-data; name=...)")
