"""RFC 9112, section 6: Content-Length, Transfer-Encoding, and which of them decides where a request ends."""

from tests.server.conformance.case import LAST, PNG, SIZE, Case, chunked, chunks, get, post, request

_CONTENT_LENGTH = [
    Case("9112 6.2", "Content-Length", post(f"Content-Length: {SIZE}"), "200 kept"),
    Case("9112 6.2", "Content-Length 0", post("Content-Length: 0", body=b""), "400/415 kept"),
    Case("9112 6.2", "leading zeros", post(f"Content-Length: 000{SIZE}"), "200 kept"),
    Case("9112 6.2", "spaces around the number", post(f"Content-Length:  {SIZE}  "), "200 kept"),
    Case(
        "9112 6.2", "the next request follows the body at once", post(f"Content-Length: {SIZE}") + LAST, "200 404 kept"
    ),
    Case("9112 6.2", "body in two segments", (post(f"Content-Length: {SIZE}", body=PNG[:20]), PNG[20:]), "200 kept"),
    Case("9112 6.2", "body in a segment of its own", (post(f"Content-Length: {SIZE}", body=b""), PNG), "200 kept"),
    Case("9112 6.2", "body that has not ended yet", post(f"Content-Length: {SIZE + 1}"), "waits"),
    Case(
        "9112 8",
        "connection closed within the body",
        post(f"Content-Length: {SIZE + 1}"),
        "400/408 closed | closed",
        half_close=True,
    ),
    Case("9112 6.3", "POST without a length has no body", post(body=b""), "400/411/415 any"),
    Case("9112 6.3", "GET without a length has no body", get() + LAST, "200 404 kept"),
    Case(
        "9112 6.3",
        "GET with a body",
        get("/health", "Content-Length: 5", body=b"hello") + LAST,
        "200 404 kept | 400 closed",
    ),
    Case(
        "9112 6.3",
        "GET with a chunked body",
        get("/health", "Transfer-Encoding: chunked", body=chunks(b"hello")) + LAST,
        "200 404 kept | 400 closed",
    ),
    *[
        Case("9112 6.3", f"invalid Content-Length {value!r}", post(f"Content-Length: {value}"), "400 closed")
        for value in (
            "",
            "-1",
            f"+{SIZE}",
            f"-{SIZE}",
            f"0x{SIZE:x}",
            f"{SIZE}.0",
            f"{SIZE} {SIZE}",
            f"{SIZE}a",
            "1e2",
            "five",
            f'"{SIZE}"',
            f"{SIZE};a",
            "1_0",
            "\xb2",
            f"\x0b{SIZE}",
            f"{SIZE}, -1",
            f"{SIZE}, 5",
            f"{SIZE}\0",
        )
    ],
    Case("9112 6.3", "a list of equal lengths", post(f"Content-Length: {SIZE}, {SIZE}"), "200 kept | 400 closed"),
    Case(
        "9112 6.3",
        "two equal lines",
        post(f"Content-Length: {SIZE}", f"Content-Length: {SIZE}"),
        "200 kept | 400 closed",
    ),
    Case("9112 6.3", "two different lines", post(f"Content-Length: {SIZE}", "Content-Length: 5"), "400 closed"),
    Case(
        "9112 6.3",
        "two different lines, the smaller first",
        post("Content-Length: 5", f"Content-Length: {SIZE}"),
        "400 closed",
    ),
    Case("9112 6.2", "Content-Length over the limit", post("Content-Length: 2000000"), "413 closed"),
    Case("9112 6.2", "Content-Length of 2^63", post(f"Content-Length: {2**63}"), "400/413 closed"),
    Case(
        "9112 6.2", "Content-Length of 2^64 and the body's", post(f"Content-Length: {2**64 + SIZE}"), "400/413 closed"
    ),
    Case("9112 6.2", "Content-Length of 100 digits", post("Content-Length: " + "9" * 100), "400/413 closed"),
]

_TRANSFER_ENCODING = [
    Case("9112 6.1", "chunked", chunked(chunks(PNG)), "200 kept"),
    *[
        Case(
            "9112 6.1",
            f"case does not matter: {value}",
            post(f"Transfer-Encoding: {value}", body=chunks(PNG)),
            "200 kept",
        )
        for value in ("Chunked", "CHUNKED", "cHuNkEd")
    ],
    Case("9112 6.1", "name in lower case", post("transfer-encoding: chunked", body=chunks(PNG)), "200 kept"),
    Case("9112 6.1", "tab before the coding", post("Transfer-Encoding:\tchunked", body=chunks(PNG)), "200 kept"),
    Case("9112 6.1", "space after the coding", post("Transfer-Encoding: chunked ", body=chunks(PNG)), "200 kept"),
    Case("9112 6.1", "tab after the coding", post("Transfer-Encoding: chunked\t", body=chunks(PNG)), "200 kept"),
    Case("9112 6.1", "the next request follows at once", chunked(chunks(PNG)) + LAST, "200 404 kept"),
    Case(
        "9112 6.1",
        "Content-Length before Transfer-Encoding",
        post(f"Content-Length: {SIZE}", "Transfer-Encoding: chunked", body=chunks(PNG)),
        "200/400 closed",
    ),
    Case(
        "9112 6.1",
        "Transfer-Encoding before Content-Length",
        post("Transfer-Encoding: chunked", f"Content-Length: {SIZE}", body=chunks(PNG)),
        "200/400 closed",
    ),
    Case(
        "9112 6.1",
        "chunked in HTTP/1.0",
        post("Transfer-Encoding: chunked", body=chunks(PNG), version="HTTP/1.0"),
        "400 closed",
    ),
    Case(
        "9112 6.1",
        "chunked in HTTP/1.0 with Content-Length and keep-alive",
        post(
            "Transfer-Encoding: chunked",
            f"Content-Length: {SIZE}",
            "Connection: keep-alive",
            body=chunks(PNG),
            version="HTTP/1.0",
        ),
        "400 closed",
    ),
    Case(
        "9112 6.1",
        "GET with chunked in HTTP/1.0",
        request("GET /health HTTP/1.0", "Transfer-Encoding: chunked", body=chunks(b"hello")),
        "400 closed",
    ),
    *[
        Case(
            "9112 6.1",
            f"transfer coding {value!r}",
            post(f"Transfer-Encoding: {value}", body=chunks(PNG)),
            "400/501 closed",
        )
        for value in (
            "gzip, chunked",
            "gzip",
            "identity",
            "identity, chunked",
            "chunked, identity",
            "chunked, gzip",
            "chunked, chunked",
            "x-unknown, chunked",
            "x-unknown",
            "chunked;a=b",
            "chunked;",
            "xchunked",
            "chunkedx",
            "chunk",
            '"chunked"',
            "'chunked'",
            "chun ked",
            "chun\tked",
            "chunked chunked",
            "chunked\x0b",
            "\x0bchunked",
            "\x0cchunked",
            "chunked\0",
            "chunked\xa0",
            "\xefchunked",
        )
    ],
    *[
        Case(
            "9112 6.1",
            f"empty list element: {value!r}",
            post(f"Transfer-Encoding: {value}", body=chunks(PNG)),
            "200 kept | 400/501 closed",
        )
        for value in ("chunked,", ",chunked")
    ],
    Case("9112 6.1", "empty Transfer-Encoding", get("/health", "Transfer-Encoding:"), "200 kept | 400/501 closed"),
    Case(
        "9112 6.1",
        "gzip and chunked on two lines",
        post("Transfer-Encoding: gzip", "Transfer-Encoding: chunked", body=chunks(PNG)),
        "400/501 closed",
    ),
    Case(
        "9112 6.1",
        "chunked on two lines",
        post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body=chunks(PNG)),
        "400/501 closed",
    ),
    Case(
        "9112 6.1",
        "chunked and gzip on two lines",
        post("Transfer-Encoding: chunked", "Transfer-Encoding: gzip", body=chunks(PNG)),
        "400/501 closed",
    ),
]

CASES = _CONTENT_LENGTH + _TRANSFER_ENCODING
