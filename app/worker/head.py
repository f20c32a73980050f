"""Parse the head of an HTTP/1.1 request (RFC 9112) into a WSGI environ.

llhttp does the parsing. What it accepts although RFC 9112 does not is checked here: the request line, Host, transfer
codings and control characters.
"""

import os
import re
import sys
from urllib.parse import unquote_to_bytes, urlsplit

from httptools import HttpParserError, HttpParserInvalidMethodError, HttpParserUpgrade, HttpRequestParser

from app.problems import Problem
from app.worker import limits

_REQUEST_LINE = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+ ([!-~\x80-\xff]+) HTTP/1\.([01])\r\n")
_OTHER_VERSION = re.compile(rb"[A-Z]+ [!-~]+ HTTP/[0-9]\.[0-9]\r\n")
_CONTROLS = bytes([*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F])
_HOST = re.compile(r"(?:(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")
_BASE = {
    "wsgi.version": (1, 0),
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
    "wsgi.url_scheme": "http",  # TLS ends at the platform's front end
    "wsgi.input_terminated": True,
    "SCRIPT_NAME": os.environ.get("SCRIPT_NAME", ""),
}


class Head:
    """A parsed head. `length` is the Content-Length in bytes, None for a chunked body."""

    __slots__ = ("environ", "expects_continue", "keep_alive", "length")

    def __init__(self, environ: dict, length: int | None, keep_alive: bool, expects_continue: bool):
        self.environ, self.length = environ, length
        self.keep_alive, self.expects_continue = keep_alive, expects_continue


NO_REQUEST = Head({}, 0, False, False)


class _Fields:
    """What llhttp reports. It does not refer to the parser, so the two form no reference cycle."""

    def __init__(self) -> None:
        self.lines: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.lines.append((name, value))


def parse(data: bytes) -> Head:
    """Parse a whole head, from the request line to the empty line. Raises Problem."""
    line = _REQUEST_LINE.match(data)
    if not line:
        if _OTHER_VERSION.match(data):
            raise Problem(505, "the HTTP version is not supported: use HTTP/1.1")
        raise _invalid("the request line is malformed")
    if len(data.translate(None, _CONTROLS)) != len(data):
        raise _invalid("a control character in the head")
    fields = _Fields()
    parser = HttpRequestParser(fields)
    upgrade = False
    try:
        parser.feed_data(data.replace(b"\t\r\n", b"\r\n"))  # llhttp rejects a tab after a transfer coding
    except HttpParserUpgrade:  # no other protocol is supported: answer in HTTP/1.1, and close
        upgrade = True
    except HttpParserInvalidMethodError:
        raise Problem(501, "the request method is not known: use GET, HEAD, POST or OPTIONS") from None
    except HttpParserError as error:
        raise _invalid(" ".join(str(error).split())[:100]) from None
    if len(fields.lines) > limits.HEAD_FIELDS:
        raise Problem(431, f"the request has more than {limits.HEAD_FIELDS} headers: send fewer")
    method, version = parser.get_method().decode("latin-1"), "HTTP/1." + line[2].decode()
    environ = _environ(method, line[1], version, fields.lines)
    environ.pop("HTTP_UPGRADE", None)  # Werkzeug refuses to answer an offer to use WebSocket in HTTP
    connection = environ.get("HTTP_CONNECTION", "").lower()
    options = {option.strip() for option in connection.split(",")} if connection else set()
    keep_alive = "close" not in options and (version == "HTTP/1.1" or "keep-alive" in options) and not upgrade
    expect = environ.get("HTTP_EXPECT", "").lower()
    if expect and expect != "100-continue":
        raise Problem(417, "the Expect header is not supported, except for 100-continue: leave it out")
    expects_continue = bool(expect) and version == "HTTP/1.1"
    return Head(environ, _length(environ, version), keep_alive, expects_continue)


def take(data: bytearray) -> bytes | None:
    """Move a whole head out of `data`, None if it has not ended yet. Raises Problem if it cannot become valid."""
    start = len(data) - len(data.lstrip(b"\r\n")) if data[0] == 13 else 0  # empty lines before it are ignored
    end = data.find(b"\r\n\r\n", start, start + limits.HEAD_BYTES)
    if start > limits.EMPTY_LINE_BYTES or data[:start] != b"\r\n" * (start // 2) + b"\r" * (start % 2):
        raise _invalid("too many or malformed empty lines")
    if end < 0:
        if start < len(data):
            _check_partial(data[start:])
        return None
    lines = bytes(memoryview(data)[start : end + 4])
    del data[: end + 4]
    return lines


def _check_partial(data: bytearray) -> None:
    """Refuse at once what is not HTTP, and a head that is too long."""
    line_ends = data.count(b"\r\n")
    if not data[:1].isalpha() or data.count(b"\n") != line_ends or data.count(b"\r", 0, -1) > line_ends:
        raise _invalid("the head is malformed")
    if line_ends and not _REQUEST_LINE.match(data) and not _OTHER_VERSION.match(data):
        raise _invalid("the request line is malformed")
    if len(data) > limits.HEAD_BYTES:
        if not line_ends:
            raise Problem(414, f"the request target is longer than {limits.HEAD_BYTES // 1024} KiB: send a shorter one")
        raise Problem(431, f"the request's headers are larger than {limits.HEAD_BYTES // 1024} KiB: send fewer")


def _invalid(reason: str) -> Problem:
    return Problem(400, f"invalid HTTP request: {reason}")


def _environ(method: str, target: bytes, version: str, lines: list[tuple[bytes, bytes]]) -> dict:
    environ: dict = _BASE.copy()
    environ["REQUEST_METHOD"] = method
    environ["SERVER_PROTOCOL"] = version
    for name, value in lines:
        if b"_" in name:  # X_Y would be taken for X-Y, and pass a proxy that guards X-Y
            continue
        key = name.decode("latin-1").upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = "HTTP_" + key
        text = value.decode("latin-1").strip(" \t")
        if key in environ:
            if key == "HTTP_HOST":
                raise _invalid("more than one Host header")
            text = f"{environ[key]},{text}"
        environ[key] = text
    host = environ.get("HTTP_HOST")
    if host is None and version == "HTTP/1.1":
        raise _invalid("the Host header is missing")
    if host and not _HOST.fullmatch(host):
        raise _invalid("the Host header is malformed")
    path, _, query = _path(method, target, environ).partition(b"?")
    text = (unquote_to_bytes(path) if b"%" in path else path).decode("latin-1")
    environ["PATH_INFO"] = text.removeprefix(environ["SCRIPT_NAME"])
    environ["QUERY_STRING"] = query.decode("latin-1")
    return environ


def _path(method: str, target: bytes, environ: dict) -> bytes:
    """Path and query of a target in origin, absolute or asterisk form. The host of an absolute form replaces Host."""
    if b"#" in target:
        raise _invalid("a fragment in the request target")
    if target.startswith(b"/"):
        return target
    if target == b"*" and method == "OPTIONS":
        return b"/"
    if method == "CONNECT":
        raise Problem(501, "CONNECT is not supported: this is not a proxy")
    try:
        parts = urlsplit(target)
        host = parts.netloc.decode("latin-1")
    except ValueError:
        host = ""
    if not host or parts.scheme.lower() not in (b"http", b"https") or not _HOST.fullmatch(host):
        raise _invalid("the request target is malformed")
    environ["HTTP_HOST"] = host
    return (parts.path or b"/") + (b"?" + parts.query if parts.query else b"")


def _length(environ: dict, version: str) -> int | None:
    coding = environ.pop("HTTP_TRANSFER_ENCODING", None)
    if coding is None:
        return int(environ.get("CONTENT_LENGTH", "0"))  # llhttp accepts digits only
    if version == "HTTP/1.0":
        raise _invalid("Transfer-Encoding in HTTP/1.0")
    if coding.lower() != "chunked":
        raise Problem(501, f"the transfer coding {coding[:40]!r} is not supported: use chunked")
    return None
