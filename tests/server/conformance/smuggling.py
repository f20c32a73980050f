"""RFC 9112, section 11.2: requests hidden in the body of another one must never be answered."""

from tests.server.conformance.case import LAST, SMUGGLED, Case, chunked, chunks, get, post, request

_HIDDEN = b"0\r\n\r\n" + SMUGGLED  # ends the body for who reads chunks, and not for who counts bytes
_BOTH = f"Content-Length: {len(_HIDDEN)}"
_CHUNKED = "Transfer-Encoding: chunked"
# A Content-Length that ends before the hidden request, and chunks that hold it.
_INSIDE = chunks(SMUGGLED)
_SHORT = f"Content-Length: {_INSIDE.index(b'GET')}"
_REFUSED = "400/501 closed"


def _hidden(*fields: str | bytes) -> bytes:
    return post(*fields, body=_HIDDEN)


CASES = [
    # One answer to the outer request is right, if the connection is closed after it.
    Case("9112 11.2", "CL.TE: length first", _hidden(_BOTH, _CHUNKED), "400/415 closed"),
    Case("9112 11.2", "CL.TE: chunked first", _hidden(_CHUNKED, _BOTH), "400/415 closed"),
    Case("9112 11.2", "TE.CL: length first", post(_SHORT, _CHUNKED, body=_INSIDE), "400/415 closed"),
    Case("9112 11.2", "TE.CL: chunked first", post(_CHUNKED, _SHORT, body=_INSIDE), "400/415 closed"),
    Case(
        "9112 11.2", "CL.0: length 0 and chunked", post("Content-Length: 0", _CHUNKED, body=_INSIDE), "400/415 closed"
    ),
    *[
        Case("9112 11.2", f"TE.TE: {' and '.join(map(repr, fields))}", _hidden(_BOTH, *fields), _REFUSED)
        for fields in (
            (_CHUNKED, "Transfer-Encoding: x"),
            ("Transfer-Encoding: x", _CHUNKED),
            (_CHUNKED, "Transfer-encoding: identity"),
            ("Transfer-Encoding: identity", _CHUNKED),
            ("Transfer-Encoding: xchunked",),
            ("Transfer-Encoding : chunked",),
            ("Transfer-Encoding\t: chunked",),
            ("Transfer-Encoding: \x0bchunked",),
            ("Transfer-Encoding: chunked\x0c",),
            ("Transfer-Encoding\0: chunked",),
            ("Transfer-Encoding;: chunked",),
            ("Transfer Encoding: chunked",),
            ('Transfer-Encoding: "chunked"',),
            ("Transfer-Encoding: chun\tked",),
            ("Transfer-Encoding: chunked, identity",),
            ("Transfer-Encoding: chunked\xa0",),
        )
    ],
    *[
        Case("9112 11.2", f"hidden Transfer-Encoding: {field!r}", _hidden(_BOTH, field), expected)
        for field, expected in (
            ("A: b\n" + _CHUNKED, "400/415 closed"),
            ("A: b\r" + _CHUNKED, "400 closed | 415 kept"),
            ("A: b\r\n " + _CHUNKED, "400 closed | 415 kept"),
            ("A: b\r\n\t" + _CHUNKED, "400 closed | 415 kept"),
            ("A: b\0\r\n" + _CHUNKED, "400/415 closed"),
            ("Transfer-Encoding:\r\n chunked", "400/415 closed"),
            ("Transfer_Encoding: chunked", "400 closed | 415 kept"),
        )
    ],
    Case(
        "9112 11.2",
        "Content-Length twice, the second is longer",
        post("Content-Length: 5", _BOTH, body=_HIDDEN),
        "400 closed",
    ),
    Case(
        "9112 11.2",
        "Content-Length twice, the second is 0",
        post(_BOTH, "Content-Length: 0", body=_HIDDEN),
        "400 closed",
    ),
    Case("9112 11.2", "Content-Length with a NUL", post("Content-Length\0: 5", _BOTH, body=_HIDDEN), "400 closed"),
    Case("9112 11.2", "Content-Length in a list with 0", post(f"{_BOTH}, 0", body=_HIDDEN), "400 closed"),
    Case(
        "9112 11.2",
        "GET with a body that looks like a request",
        get("/health", f"Content-Length: {len(SMUGGLED)}", body=SMUGGLED),
        "200 kept | 400 closed",
    ),
    Case(
        "9112 11.2",
        "request in an upload's body",
        post(f"Content-Length: {len(SMUGGLED)}", body=SMUGGLED) + get(),
        "415 200 kept",
    ),
    Case("9112 11.2", "request in a chunk", chunked(_INSIDE) + get(), "415 200 kept"),
    Case(
        "9112 11.2",
        "chunked in HTTP/1.0 with keep-alive",
        post(_CHUNKED, "Connection: keep-alive", body=_HIDDEN, version="HTTP/1.0"),
        "400 closed",
    ),
    Case("9112 11.2", "extension that ends with LF hides a chunk", chunked(b"2;\nxx\r\n" + _HIDDEN), "400 closed"),
    Case("9112 11.2", "extension that ends with CR hides a chunk", chunked(b"2;\rxx\r\n" + _HIDDEN), "400 closed"),
    Case("9112 11.2", "chunk data without its line end hides a chunk", chunked(b"2\r\nxx" + _HIDDEN), "400 closed"),
    Case(
        "9112 11.2",
        "chunk size that wraps around to 0",
        chunked(b"10000000000000000\r\n\r\n" + SMUGGLED),
        "400/413 closed",
    ),
    Case("9112 11.2", "chunk size -0", chunked(b"-0\r\n\r\n" + SMUGGLED), "400 closed"),
    Case("9112 11.2", "chunk size 0x0", chunked(b"0x0\r\n\r\n" + SMUGGLED), "400 closed"),
    Case(
        "9112 11.2",
        "target that holds a request",
        request("GET /health HTTP/1.1\r\rGET /smuggled HTTP/1.1"),
        "400 closed",
    ),
    Case(
        "9112 11.2",
        "escaped line ends stay in the target",
        get("/nowhere%0d%0a%0d%0aGET%20/smuggled") + LAST,
        "400/404 404 kept",
    ),
]
