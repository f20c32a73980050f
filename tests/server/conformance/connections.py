"""RFC 9112, section 9: persistence, pipelining and closing of connections."""

from tests.server.conformance.case import LAST, PNG, SIZE, UPLOAD, Case, chunked, chunks, get, post, request

_CLOSE = get("/health", "Connection: close")
_MALFORMED = b"nonsense\r\n\r\n"
_OLD = "GET /health HTTP/1.0"

_PERSISTENCE = [
    Case("9112 9.3", "HTTP/1.1 without Connection", get(), "200 kept"),
    Case("9112 9.3", "HTTP/1.1 with keep-alive", get("/health", "Connection: keep-alive"), "200 kept"),
    Case("9112 9.3", "HTTP/1.1 with an unknown option", get("/health", "Connection: closed"), "200 kept"),
    Case("9112 9.3", "HTTP/1.1 with an empty Connection", get("/health", "Connection:"), "200 kept"),
    Case("9112 9.3", "HTTP/1.0 without Connection", request(_OLD), "200 closed"),
    Case("9112 9.3", "HTTP/1.0 with keep-alive", request(_OLD, "Connection: keep-alive"), "200 any"),
    Case("9112 9.3", "HTTP/1.0 with Keep-Alive in capitals", request(_OLD, "Connection: Keep-Alive"), "200 any"),
    Case(
        "9112 9.3", "HTTP/1.0 with close and keep-alive", request(_OLD, "Connection: keep-alive, close"), "200 closed"
    ),
    Case("9112 9.3", "answer with an error keeps the connection", LAST, "404 kept"),
    Case("9112 9.3", "answered upload keeps the connection", UPLOAD, "200 kept"),
    Case("9112 9.3", "HTTP/1.1, then HTTP/1.0", get() + request(_OLD), "200 200 closed"),
    Case("9110 7.6.1", "Keep-Alive alone changes nothing", get("/health", "Keep-Alive: timeout=1"), "200 kept"),
    Case(
        "9110 7.6.1",
        "Connection names Content-Length",
        post(f"Content-Length: {SIZE}", "Connection: Content-Length"),
        "200 kept | 400 closed",
    ),
]

_CLOSING = [
    *[
        Case(
            "9112 9.6",
            f"Connection: {value}",
            get("/health", f"Connection: {value}"),
            "200 closed",
            "Connection: close",
        )
        for value in ("close", "Close", "CLOSE", "keep-alive, close", "close, keep-alive", "a, close ,b", "\tclose ")
    ],
    Case(
        "9112 9.6",
        "close on the second of two lines",
        get("/health", "Connection: a", "Connection: close"),
        "200 closed",
    ),
    Case("9112 9.6", "close on an upload", post(f"Content-Length: {SIZE}", "Connection: close"), "200 closed"),
    Case("9112 9.6", "close on a chunked upload", chunked(chunks(PNG), "Connection: close"), "200 closed"),
    Case("9112 9.6", "close on a request for nothing", get("/nowhere", "Connection: close"), "404 closed"),
    Case("9112 9.6", "request after close is not answered", _CLOSE + LAST, "200 closed"),
    Case("9112 9.6", "upload after close is not answered", _CLOSE + UPLOAD, "200 closed"),
    Case(
        "9112 9.6",
        "upload with close, then a request",
        post(f"Content-Length: {SIZE}", "Connection: close") + LAST,
        "200 closed",
    ),
    Case("9112 9.6", "empty line after close", _CLOSE + b"\r\n", "200 closed"),
    Case("9112 9.6", "empty line after close, in a segment of its own", (_CLOSE, b"\r\n"), "200 closed"),
    Case(
        "9112 9.6",
        "upload with close, then an empty line",
        post(f"Content-Length: {SIZE}", "Connection: close") + b"\r\n",
        "200 closed",
    ),
    Case("9112 9.6", "nonsense after close", _CLOSE + _MALFORMED, "200 closed"),
    Case("9112 9.6", "half-closed after a request", get(), "200 closed", half_close=True),
    Case("9112 9.6", "half-closed after an upload", UPLOAD, "200 closed", half_close=True),
    Case("9112 9.6", "half-closed after two requests", UPLOAD + LAST, "200 404 closed", half_close=True),
    Case("9112 9.6", "half-closed after a request with close", _CLOSE, "200 closed", half_close=True),
    Case("9112 9.6", "half-closed before any request", b"", "closed", half_close=True),
]

_PIPELINING = [
    Case("9112 9.3.2", "two requests", get() + LAST, "200 404 kept"),
    Case("9112 9.3.2", "two requests, the other order", LAST + get(), "404 200 kept"),
    Case("9112 9.3.2", "40 requests", (get() + LAST) * 20, " ".join(["200 404"] * 20) + " kept"),
    Case("9112 9.3.2", "upload, then a request", UPLOAD + LAST, "200 404 kept"),
    Case("9112 9.3.2", "request, then an upload", LAST + UPLOAD, "404 200 kept"),
    Case(
        "9112 9.3.2",
        "upload with a length, chunked upload, request",
        UPLOAD + chunked(chunks(PNG)) + LAST,
        "200 200 404 kept",
    ),
    Case("9112 9.3.2", "five uploads and a request", UPLOAD * 5 + LAST, "200 200 200 200 200 404 kept"),
    Case(
        "9112 9.3.2",
        "upload of 60,000 bytes, then the beginning of a request",
        (post("Content-Length: 60000", body=bytes(60_000)) + LAST[:20], LAST[20:]),
        "415 404 kept",
    ),
    Case(
        "9112 9.3.2",
        "three uploads of 60,000 bytes",
        post("Content-Length: 60000", body=bytes(60_000)) * 3 + LAST,
        "415 415 415 404 kept",
    ),
    Case("9112 9.3.2", "second request in two segments", (get() + LAST[:20], LAST[20:]), "200 404 kept"),
    Case("9112 9.3.2", "second request arrives during the first", (UPLOAD, LAST), "200 404 kept"),
    Case(
        "9112 9.3.2",
        "method that is not allowed in between",
        get() + request("PUT /health HTTP/1.1") + LAST,
        "200 405 404 kept",
    ),
    Case("9112 9.3.2", "request that has not ended yet", get() + LAST[:-2], "200 waits"),
    Case("9112 9.3.2", "close on the second", get() + _CLOSE + LAST, "200 200 closed"),
    Case("9112 9.3.2", "request, then nonsense", get() + _MALFORMED, "200 400 closed"),
    Case("9112 9.3.2", "upload, then nonsense", UPLOAD + _MALFORMED, "200 400 closed"),
    Case("9112 9.3.2", "chunked upload, then nonsense", chunked(chunks(PNG)) + _MALFORMED, "200 400 closed"),
    Case("9112 9.3.2", "two requests, then nonsense", LAST + get() + _MALFORMED, "404 200 400 closed"),
    Case("9112 9.3.2", "nonsense arrives during an upload's answer", (UPLOAD, _MALFORMED), "200 400 closed"),
    Case("9112 9.3.2", "nonsense, then a request", _MALFORMED + LAST, "400 closed"),
    Case("9112 9.3.2", "request, then one without Host", LAST + get(host=None), "404 400 any"),
    Case("9112 9.3.2", "request, then HTTP/2.0", LAST + request("GET / HTTP/2.0"), "404 400/505 closed"),
    Case(
        "9112 9.3.2",
        "upload, then two different lengths",
        UPLOAD + post("Content-Length: 5", "Content-Length: 6"),
        "200 400 closed",
    ),
    Case("9112 9.3.2", "request, then a body over the limit", LAST + post("Content-Length: 2000000"), "404 413 closed"),
    Case(
        "9112 9.3.2",
        "upload, then headers over the limit",
        UPLOAD + get("/health", "A: " + "b" * 100_000),
        "200 400/431 closed",
    ),
    Case("9112 9.3.2", "upload, then an invalid chunk", UPLOAD + chunked(b"zz\r\n"), "200 400 closed"),
]

CASES = _PERSISTENCE + _CLOSING + _PIPELINING
