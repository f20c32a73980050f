"""RFC 9112, sections 2.2, 2.3 and 3: message parsing, version, method and target."""

from tests.server.conformance.case import LAST, SIZE, Case, get, post, request

_PARSING = [
    Case("9112 2.2", "empty line before the request line", b"\r\n" + get(), "200 kept"),
    Case("9112 2.2", "three empty lines before the request line", b"\r\n" * 3 + get(), "200 kept | 400 closed"),
    Case("9112 2.2", "bare LF before the request line", b"\n" + get(), "200 kept | 400 closed"),
    Case("9112 2.2", "empty line between two requests", get() + b"\r\n" + LAST, "200 404 kept"),
    Case("9112 2.2", "lines that end with a bare LF", b"GET /health HTTP/1.1\nHost: x\n\n", "200 kept | 400 closed"),
    Case("9112 2.2", "a field line that ends with a bare LF", get("/health", "A: b\nC: d"), "200 kept | 400 closed"),
    Case("9112 2.2", "bare CR instead of every line end", get().replace(b"\r\n", b"\r") + b"\r\n\r\n", "400 closed"),
    Case("9112 2.2", "bare CR in the request line", request("GET /health\r HTTP/1.1"), "200 kept | 400 closed"),
    Case("9112 2.2", "bare CR after the version", request("GET /health HTTP/1.1\rA: b"), "400 closed"),
    Case("9112 2.2", "bare CR in a field value", get("/health", "A: b\rc"), "200 kept | 400 closed"),
    Case(
        "9112 2.2",
        "bare CR before a hidden Content-Length",
        get("/health", "A: b\rContent-Length: 30"),
        "200 kept | 400 closed",
    ),
    Case("9112 2.2", "bare CR in a field name", get("/health", "A\rB: c"), "400 closed"),
    Case(
        "9112 2.2",
        "indented line before the first field",
        request("GET /health HTTP/1.1", " A: b", "Host: x", host=None),
        "200 kept | 400 any",
    ),
    Case(
        "9112 2.2",
        "indented Content-Length before the first field",
        request("GET /health HTTP/1.1", " Content-Length: 30", "Host: x", host=None),
        "200 kept | 400 any",
    ),
    Case("9112 2.2", "TLS handshake", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64), "400 closed"),
    Case("9112 2.2", "SSH greeting", b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "400 closed"),
    Case("9112 2.2", "SMTP greeting", b"EHLO client.example\r\n\r\n", "400/501 closed"),
    Case("9112 2.2", "random bytes", bytes(range(128, 256)) + b"\r\n\r\n", "400 closed"),
    Case("9112 2.2", "an answer instead of a request", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "400 closed"),
    Case("9112 2.2", "request in two segments", (get()[:9], get()[9:]), "200 kept"),
    Case("9112 2.2", "request in segments of one byte", tuple(bytes([byte]) for byte in get()), "200 kept"),
    Case("9112 2.2", "CR and LF in two segments", (get()[:-1], b"\n"), "200 kept"),
    Case("9112 8", "head that has not ended yet", get()[:-2], "waits"),
    Case("9112 8", "connection closed within the head", get()[:-2], "400/408 closed | closed", half_close=True),
]

_VERSION = [
    Case("9112 2.3", "HTTP/1.1", get(), "200 kept"),
    Case("9112 2.3", "HTTP/1.0", request("GET /health HTTP/1.0"), "200 closed"),
    Case("9112 2.3", "HTTP/1.0 without Host", request("GET /health HTTP/1.0", host=None), "200 closed"),
    Case("9112 2.3", "HTTP/0.9: no version", b"GET /health\r\n", "400/505 closed"),
    Case("9112 2.3", "no version, but fields", request("GET /health"), "400/505 closed"),
    *[
        Case("9112 2.3", f"{version} in the request line", request(f"GET /health {version}"), "400/505 closed")
        for version in ("HTTP/0.9", "HTTP/2.0", "HTTP/3.0", "HTTP/9.9")
    ],
    # RFC 9110, 2.5: a higher minor version SHOULD be processed as HTTP/1.1; 505 refuses it.
    Case("9112 2.3", "HTTP/1.2", request("GET /health HTTP/1.2"), "200 any | 505 any"),
    Case("9112 2.3", "HTTP/1.9", request("GET /health HTTP/1.9"), "200 any | 505 any"),
    Case("9112 2.3", "HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", "400/505 closed"),
    *[
        Case("9112 2.3", f"malformed version {version!r}", request(f"GET /health {version}"), "400/505 closed")
        for version in (
            "http/1.1",
            "Http/1.1",
            "HTTP/1",
            "HTTP/1.",
            "HTTP/.1",
            "HTTP/11.1",
            "HTTP/1.10",
            "HTTP/01.1",
            "HTTP/1.1.1",
            "HTTP/1.1x",
            "HTTP/-1.1",
            "HTTP /1.1",
            "HTTP/ 1.1",
            "HTTP1.1",
            "HTTPS/1.1",
            "RTSP/1.0",
            "ICE/1.0",
            "HTTP/1\0.1",
        )
    ],
]

_METHOD = [
    *[
        Case(
            "9112 3.1", f"{method} where it is not allowed", request(f"{method} /health HTTP/1.1"), "405 kept", "Allow"
        )
        for method in ("POST", "PUT", "DELETE", "PATCH")
    ],
    Case("9112 3.1", "TRACE", request("TRACE /health HTTP/1.1"), "405/501 any"),
    Case("9112 3.1", "unknown method", request("BREW /health HTTP/1.1"), "405/501 any"),
    Case("9112 3.1", "method in lower case", request("get /health HTTP/1.1"), "405/501 any"),
    Case("9112 3.1", "method of 5,000 letters", request("G" * 5000 + " /health HTTP/1.1"), "405/501 any"),
    Case("9112 3.1", "prefix of a method", request("GE /health HTTP/1.1"), "405/501 any"),
    Case("9112 3.1", "method with a character that is not allowed", request("G@T /health HTTP/1.1"), "400 closed"),
    Case("9112 3.1", "method with a NUL", request("GE\0T /health HTTP/1.1"), "400 closed"),
    Case("9112 3.1", "method with a non-ASCII letter", request("G\xcbT /health HTTP/1.1"), "400 closed"),
    Case("9112 3.1", "no method", request(" /health HTTP/1.1"), "400 closed"),
]

_SYNTAX = [
    Case("9112 3", "two spaces in the request line", request("GET  /health  HTTP/1.1"), "200 kept | 400 closed"),
    Case("9112 3", "tabs in the request line", request("GET\t/health\tHTTP/1.1"), "200 kept | 400 closed"),
    Case("9112 3", "space before the method", request(" GET /health HTTP/1.1"), "200 kept | 400 closed"),
    Case("9112 3", "space after the version", request("GET /health HTTP/1.1 "), "200 kept | 400 closed"),
    Case("9112 3", "no target", request("GET HTTP/1.1"), "400 closed"),
    Case("9112 3", "empty target", request("GET  HTTP/1.1"), "400 closed"),
    Case("9112 3", "only a method", request("GET"), "400 closed"),
    Case("9112 3", "NUL in the target", request("GET /he\0alth HTTP/1.1"), "400 closed"),
    Case("9112 3", "request line of 8,000 bytes", get("/" + "a" * 7980), "404 kept"),
    Case("9112 3", "target of 100,000 bytes", get("/" + "a" * 100_000), "414 closed"),
    Case("9112 3", "query of 100,000 bytes", get("/health?" + "a" * 100_000), "414 closed"),
]

_TARGET = [
    Case("9112 3.2.1", "origin form with a query", get("/health?a=b&c"), "200 kept"),
    Case("9112 3.2.1", "origin form with an escaped character", get("/he%61lth"), "200 kept"),
    Case("9112 3.2.1", "target with two slashes", get("//health"), "200/301/308/400/404 kept"),
    Case("9112 3.2.1", "target with dot segments", get("/../health"), "200/301/308/400/404 kept"),
    Case("9112 3.2.1", "escaped NUL", get("/health%00"), "400/404 any"),
    Case("9112 3.2.1", "incomplete escape", get("/health%4"), "400/404 any"),
    Case("9112 3.2.1", "target with a space", get("/he alth"), "400 closed"),
    Case("9112 3.2.1", "target with a control character", get("/he\x01alth"), "400 closed"),
    Case("9112 3.2.1", "target with a fragment", get("/health#top"), "301/400 any"),
    Case("9112 3.2.1", "target that is not ASCII", get("/h\xe9alth"), "301/400 any"),
    Case("9112 3.2.1", "target without a slash", get("health"), "400 any"),
    Case("9112 3.2.2", "absolute form", get("http://x/health"), "200 kept"),
    Case("9112 3.2.2", "absolute form, scheme in upper case", get("HTTP://x/health"), "200 kept"),
    Case("9112 3.2.2", "absolute form with a port", get("http://x:8080/health"), "200 kept"),
    Case("9112 3.2.2", "absolute form with a query", get("http://x/nowhere?a=b"), "404 kept"),
    Case("9112 3.2.2", "absolute form without a path", get("http://x"), "200 kept"),
    Case("9112 3.2.2", "absolute form with an IPv6 address", get("http://[::1]/health", host="[::1]"), "200 kept"),
    Case("9112 3.2.2", "absolute form with another Host: ignored", get("http://x/health", host="y"), "200 kept"),
    Case("9112 3.2.2", "absolute form without Host", get("http://x/health", host=None), "400 any"),
    Case("9112 3.2.2", "absolute form with an invalid Host", get("http://x/health", host="a b"), "400 any"),
    Case("9112 3.2.2", "absolute form with two Hosts", get("http://x/health", "Host: x"), "400 any"),
    Case("9112 3.2.2", "absolute form with an empty host", get("http:///health"), "400 any"),
    Case("9112 3.2.2", "absolute form with an invalid host", get("http://x y/health"), "400 any"),
    Case("9112 3.2.2", "absolute form with an open bracket", get("http://[::1/health"), "400 any"),
    Case("9110 4.2.4", "absolute form with user information", get("http://user:pass@x/health"), "400 any"),
    Case("9110 4.2", "absolute form with another scheme", get("ftp://x/health"), "400/421 any"),
    Case("9112 3.2.3", "authority form with GET", get("x:80"), "400 any"),
    Case("9112 3.2.3", "CONNECT", request("CONNECT x:80 HTTP/1.1", host="x:80"), "400/405/501 any"),
    Case("9112 3.2.3", "CONNECT with a path", request("CONNECT /health HTTP/1.1"), "400/405/501 any"),
    Case("9112 3.2.4", "asterisk form with OPTIONS", request("OPTIONS * HTTP/1.1"), "200/204/405/501 any"),
    Case("9112 3.2.4", "asterisk form with GET", get("*"), "400 any"),
    Case(
        "9112 3.2.4", "asterisk form with POST", post(f"Content-Length: {SIZE}").replace(b"/predict", b"*"), "400 any"
    ),
]

CASES = _PARSING + _VERSION + _METHOD + _SYNTAX + _TARGET
