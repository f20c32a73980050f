"""RFC 9112, section 5, and RFC 9110, section 5: field lines; RFC 9112, section 3.2: Host."""

from tests.server.conformance.case import LAST, PNG, SIZE, Case, chunks, get, post, request

_LINES = [
    Case("9112 5", "no space after the colon", request("GET /health HTTP/1.1", "Host:x", host=None), "200 kept"),
    Case("9112 5", "spaces and tabs around the value", get("/health", "A: \t b \t "), "200 kept"),
    Case("9112 5", "empty value", get("/health", "A:"), "200 kept"),
    Case("9112 5", "value with colons", get("/health", "A: b:c:d"), "200 kept"),
    Case("9112 5.1", "space before the colon", get("/health", "A : b"), "400 any"),
    Case("9112 5.1", "tab before the colon", get("/health", "A\t: b"), "400 any"),
    Case(
        "9112 5.1", "space before the colon of Host", request("GET /health HTTP/1.1", "Host : x", host=None), "400 any"
    ),
    Case("9112 5.1", "space before the colon of Content-Length", post(f"Content-Length : {SIZE}"), "400 closed"),
    Case(
        "9112 5.1",
        "space before the colon of Transfer-Encoding",
        post("Transfer-Encoding : chunked", body=chunks(PNG)),
        "400 closed",
    ),
    Case("9112 5.1", "line without a colon", get("/health", "nonsense"), "400 closed"),
    Case("9112 5.1", "no name", get("/health", ": b"), "400 closed"),
    Case("9112 5.2", "folded line", get("/health", "A: b\r\n c"), "200 kept | 400 any"),
    Case("9112 5.2", "line folded with a tab", get("/health", "A: b\r\n\tc"), "200 kept | 400 any"),
    Case("9112 5.2", "folded Host", request("GET /health HTTP/1.1", "Host: x\r\n y", host=None), "400 any"),
    Case("9112 5.2", "folded Content-Length", post(f"Content-Length:\r\n {SIZE}"), "200 kept | 400 any"),
    Case(
        "9112 5.2",
        "folded Transfer-Encoding",
        post("Transfer-Encoding:\r\n chunked", body=chunks(PNG)),
        "200 kept | 400 any",
    ),
]

_NAMES = [
    *[
        Case("9110 5.1", f"name with {what}", get("/health", b"A" + byte + b"B: c"), "400 closed")
        for what, byte in {
            "a space": b" ",
            "a parenthesis": b"(",
            "an at sign": b"@",
            "a slash": b"/",
            "a bracket": b"[",
            "a brace": b"{",
            "a quotation mark": b'"',
            "a comma": b",",
            "a semicolon": b";",
            "an equals sign": b"=",
            "a NUL": b"\0",
            "a control character": b"\x01",
            "DEL": b"\x7f",
            "a non-ASCII letter": b"\xe9",
        }.items()
    ],
    Case("9110 5.1", "names in upper case", post(f"CONTENT-LENGTH: {SIZE}"), "200 kept"),
    Case("9110 5.1", "names in lower case", post(f"content-length: {SIZE}"), "200 kept"),
    Case("9110 5.1", "name with every other character", get("/health", "A1!#$%&'*+-.^_`|~: b"), "200 kept"),
    Case("9110 5.1", "Content_Length is another field", get("/health", "Content_Length: 30"), "200 kept"),
    Case("9110 5.1", "Transfer_Encoding is another field", get("/health", "Transfer_Encoding: chunked"), "200 kept"),
    Case(
        "9110 5.1",
        "Content_Length beside Content-Length",
        post("Content_Length: 3", f"Content-Length: {SIZE}") + LAST,
        "200 404 kept | 400 closed",
    ),
    Case(
        "9110 5.1",
        "Content-Type and Content_Type",
        post(f"Content-Length: {SIZE}", "Content_Type: text/plain"),
        "200 kept | 400 closed",
    ),
    Case("9110 5.3", "a list field on two lines", get("/health", "Accept: a/b", "Accept: c/d"), "200 kept"),
]

_VALUES = [
    Case("9110 5.5", "value with a tab", get("/health", "A: b\tc"), "200 kept"),
    Case("9110 5.5", "value with bytes that are not ASCII", get("/health", b"A: \xe9\xff"), "200 kept"),
    Case("9110 5.5", "value with a NUL", get("/health", "A: b\0c"), "200 kept | 400 any"),
    Case("9110 5.5", "value with a control character", get("/health", "A: b\x01c"), "200 kept | 400 any"),
    Case("9110 5.5", "value with DEL", get("/health", "A: b\x7fc"), "200 kept | 400 any"),
    Case("9110 5.4", "field of 8,000 bytes", get("/health", "A: " + "b" * 8000), "200 kept | 431 any"),
    Case("9110 5.4", "field of 100,000 bytes", get("/health", "A: " + "b" * 100_000), "400/431 closed"),
    Case("9110 5.4", "field name of 100,000 bytes", get("/health", "A" * 100_000 + ": b"), "400/431 closed"),
    Case("9110 5.4", "60 fields", get("/health", *[f"A{n}: b" for n in range(60)]), "200 kept"),
    Case("9110 5.4", "5,000 fields", get("/health", *[f"A{n}: b" for n in range(5000)]), "400/431 closed"),
    Case("9110 5.4", "5,000 lines of the same field", get("/health", *["A: b"] * 5000), "400/431 closed"),
]

_HOST = [
    Case("9112 3.2", "no Host", get(host=None), "400 any"),
    Case("9112 3.2", "two equal Hosts", get("/health", "Host: x"), "400 any"),
    Case("9112 3.2", "two different Hosts", get("/health", "Host: y"), "400 any"),
    Case("9112 3.2", "two Hosts, names in different case", get("/health", "HOST: y"), "400 any"),
    Case("9112 3.2", "two Hosts in HTTP/1.0", request("GET /health HTTP/1.0", "Host: y"), "400 any"),
    Case("9112 3.2", "empty Host", get(host=""), "200 kept | 400 any"),
    *[
        Case("9112 3.2", f"valid Host {host!r}", get(host=host), "200 kept")
        for host in (
            "example.com",
            "example.com:8080",
            "EXAMPLE.com",
            "127.0.0.1:80",
            "[::1]",
            "[::1]:80",
            "a_b.example",
            "x%41",
        )
    ],
    Case("9112 3.2", "Host with an empty port", get(host="x:"), "200 kept | 400 any"),
    Case("9112 3.2", "Host with a port over 65535", get(host="x:99999"), "200 kept | 400 any"),
    *[
        Case("9112 3.2", f"invalid Host {host!r}", get(host=host), "400 any")
        for host in (
            "a b",
            "a, b",
            "x\ty",
            "x/path",
            "x?y",
            "x#y",
            "user@x",
            "x:port",
            "x:-1",
            "x:80:80",
            "http://x",
            "[::1",
            "::1]",
            "x\\y",
            "<x>",
            'x"y',
            "x%zz",
            "h\xe9",
            "x\0",
        )
    ],
    Case("9112 3.2", "invalid Host in HTTP/1.0", request("GET /health HTTP/1.0", host="a b"), "400 any"),
]

CASES = _LINES + _NAMES + _VALUES + _HOST
