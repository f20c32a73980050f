"""HTTP/1.1 and WSGI (PEP 3333): requests out of bytes as they come, answers into bytes. llhttp does the parsing."""

import io
import os
import sys
import time
from collections import deque
from collections.abc import Callable
from email.utils import formatdate
from functools import lru_cache
from urllib.parse import unquote_to_bytes, urlsplit

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from app.problems import Problem

_MAX_HEAD = 32 * 1024  # bytes of a request line and its headers
_MAX_HEADERS = 100
_BASE = {
    "wsgi.version": (1, 0),
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
    "wsgi.url_scheme": "http",  # TLS ends before us, at the platform's front end
    "wsgi.input_terminated": True,
    "SCRIPT_NAME": os.environ.get("SCRIPT_NAME", ""),
}


class Request:
    """One request: its `environ` once the head is through, and as much of the body as has come."""

    def __init__(self) -> None:
        self.environ: dict | None = None
        self.size = 0  # bytes of the body so far
        self.whole = False
        self.too_large = False  # more of the body is announced, or has come, than the limit
        self.keep_alive = self.expects_continue = False
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []

    @property
    def can_be_answered(self) -> bool:
        return self.whole or self.too_large

    def body(self) -> io.BytesIO:
        """Hand over the body. Whoever reads it is told its length, where the client has not announced it."""
        self.environ.setdefault("CONTENT_LENGTH", str(self.size))
        pieces, self._body = self._body, []
        return io.BytesIO(pieces[0] if len(pieces) == 1 else b"".join(pieces))


class Reader:
    """Feed it what comes. `requests` are those that have begun, the oldest first; all but the last are whole."""

    def __init__(self, max_body: int):
        self.requests: deque[Request] = deque()
        self._max_body = max_body
        self._head = 0  # bytes of a head that is not through
        self._parser = HttpRequestParser(self)

    def feed(self, data: bytes) -> None:
        """Raises Problem where `data` cannot belong to an HTTP request; nothing more can be read after that."""
        begun = self.requests[-1] if self.requests else None
        pieces = len(begun._body) if begun else 0
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:  # nobody here speaks anything else: answer, and close
            self.requests[-1].keep_alive = False
        except HttpParserError as error:
            raise _problem(error) from error
        if begun and len(begun._body) > pieces + 1:  # a body in chunks of one byte would take fifty times its size
            begun._body[pieces:] = [b"".join(begun._body[pieces:])]
        if not self.requests or not self.requests[-1].environ:
            self._head += len(data)
            if self._head > _MAX_HEAD:
                raise Problem(431, f"the request's headers are larger than {_MAX_HEAD // 1024} KiB: send fewer")

    # What the parser calls:

    def on_message_begin(self) -> None:
        self.requests.append(Request())

    def on_url(self, part: bytes) -> None:
        self.requests[-1]._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        headers = self.requests[-1]._headers
        if len(headers) == _MAX_HEADERS:
            raise Problem(431, f"the request has more than {_MAX_HEADERS} headers: send fewer")
        headers.append((name, value))

    def on_headers_complete(self) -> None:
        request, parser = self.requests[-1], self._parser
        environ = _environ(request._target, request._headers)
        environ["REQUEST_METHOD"] = parser.get_method().decode("latin-1")
        environ["SERVER_PROTOCOL"] = f"HTTP/{parser.get_http_version()}"
        request.environ, self._head = environ, 0
        request.keep_alive = parser.should_keep_alive()
        request.too_large = (
            int(environ.get("CONTENT_LENGTH", 0)) > self._max_body
        )  # the parser lets only digits through
        request.expects_continue = environ.get("HTTP_EXPECT", "").lower() == "100-continue"

    def on_body(self, piece: bytes) -> None:
        request = self.requests[-1]
        if request.size + len(piece) > self._max_body:
            request.too_large = True
        else:
            request._body.append(piece)
        request.size += len(piece)

    def on_message_complete(self) -> None:
        self.requests[-1].whole = True


def _problem(error: HttpParserError) -> Problem:
    if isinstance(error.__context__, Problem):  # ours, raised in what the parser has called
        return error.__context__
    return Problem(400, f"this is not a valid HTTP request: {' '.join(str(error).split())[:100]}")


def _environ(target: bytes, headers: list[tuple[bytes, bytes]]) -> dict:
    path, _, query = _path(target).partition(b"?")
    environ = _BASE.copy()
    text = (unquote_to_bytes(path) if b"%" in path else path).decode("latin-1")
    environ["PATH_INFO"] = text.removeprefix(environ["SCRIPT_NAME"])
    environ["QUERY_STRING"] = query.decode("latin-1")
    for name, value in headers:
        if b"_" in name:  # X_Y would pass for X-Y, and get by a proxy that guards X-Y
            continue
        key = name.decode("latin-1").upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = "HTTP_" + key
        text = value.decode("latin-1")
        environ[key] = f"{environ[key]},{text}" if key in environ else text
    return environ


def _path(target: bytes) -> bytes:
    """Path and query of a request's target, which proxies also write in the form http://host/path?query."""
    if target.startswith(b"/") or target == b"*":
        return target
    try:
        parts = urlsplit(target)
    except ValueError:
        raise Problem(400, "the request's address is not valid") from None
    return (parts.path or b"/") + (b"?" + parts.query if parts.query else b"")


def call(application: Callable, environ: dict) -> tuple[str, list[tuple[str, str]], bytes]:
    """Call a WSGI application: the status with its reason, the headers, and the whole content."""
    said: list = []
    written: list[bytes] = []

    def start_response(status: str, headers: list[tuple[str, str]], _error: object = None) -> Callable:
        said[:] = status, headers
        return written.append

    content = application(environ, start_response)
    try:
        written.extend(content)
    finally:
        if hasattr(content, "close"):
            content.close()
    return said[0], said[1], b"".join(written)


def answer(method: str, status: str, headers: list[tuple[str, str]], content: bytes, keep_alive: bool) -> bytes:
    """An answer as it is sent: in one piece, so that it takes one system call."""
    lines = [f"HTTP/1.1 {status}", f"Date: {_date(int(time.time()))}"]
    lines.append("Connection: keep-alive" if keep_alive else "Connection: close")
    lines += [f"{name}: {value}" for name, value in headers]
    has_content = not status.startswith(("204", "304"))
    if has_content and not any(name.lower() == "content-length" for name, _ in headers):
        lines.append(f"Content-Length: {len(content)}")
    head = "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n"
    return head + content if has_content and method != "HEAD" else head


def refusal(problem: Problem) -> bytes:
    """The answer to what the app never sees, after which nothing more is read."""
    response = problem.as_response()
    return answer("", response.status, list(response.headers), response.get_data(), keep_alive=False)


@lru_cache(1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
