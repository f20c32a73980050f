"""RFC 9110: Expect (10.1.1), HEAD (9.3.2), OPTIONS (9.3.7) and Upgrade (7.8)."""

from tests.server.conformance.case import AWAIT, LAST, PNG, SIZE, UPLOAD, Case, chunks, get, post, request

_CONTINUE = "Expect: 100-continue"
_LENGTH = f"Content-Length: {SIZE}"
_HEAD = post(_LENGTH, _CONTINUE, body=b"")  # the body is sent after 100 Continue
_HEALTH = "HEAD /health HTTP/1.1"
_WEBSOCKET = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)

_EXPECT = [
    Case("9110 10.1.1", "body after 100 Continue", (_HEAD, AWAIT, PNG), "100 200 kept"),
    Case(
        "9110 10.1.1",
        "chunked body after 100 Continue",
        (post("Transfer-Encoding: chunked", _CONTINUE, body=b""), AWAIT, chunks(PNG)),
        "100 200 kept",
    ),
    Case("9110 10.1.1", "case does not matter", (_HEAD.replace(b"100-c", b"100-C"), AWAIT, PNG), "100 200 kept"),
    Case("9110 10.1.1", "body at once", _HEAD + PNG, "100 200 kept | 200 kept"),
    Case("9110 10.1.1", "body at once, then a request", _HEAD + PNG + LAST, "100 200 404 kept | 200 404 kept"),
    Case("9110 10.1.1", "in HTTP/1.0 it is ignored", post(_LENGTH, _CONTINUE, version="HTTP/1.0"), "200 closed"),
    Case(
        "9110 10.1.1",
        "in HTTP/1.0 it is ignored, body in a segment of its own",
        (post(_LENGTH, _CONTINUE, version="HTTP/1.0", body=b""), PNG),
        "200 closed",
    ),
    Case("9110 10.1.1", "without a body", get("/health", _CONTINUE), "200 kept | 100 200 kept"),
    Case(
        "9110 10.1.1",
        "with a body of no bytes",
        post("Content-Length: 0", _CONTINUE, body=b""),
        "400/415 kept | 100 400/415 kept",
    ),
    Case("9110 10.1.1", "body over the limit", post("Content-Length: 2000000", _CONTINUE, body=b""), "413 closed"),
    Case(
        "9110 10.1.1",
        "after a pipelined request",
        (LAST + _HEAD, AWAIT, AWAIT, PNG),
        "404 100 200 kept",
    ),
    Case("9110 10.1.1", "after a pipelined upload", (UPLOAD + _HEAD, AWAIT, AWAIT, PNG), "200 100 200 kept"),
    Case("9110 10.1.1", "twice on a connection", (_HEAD, AWAIT, PNG, AWAIT, _HEAD, AWAIT, PNG), "100 200 100 200 kept"),
    Case("9110 10.1.1", "unknown expectation", post(_LENGTH, "Expect: 200-ok"), "417 any | 200 kept"),
    Case(
        "9110 10.1.1",
        "unknown expectation beside 100-continue",
        post(_LENGTH, "Expect: a, 100-continue"),
        "417 any | 200 kept | 100 200 kept",
    ),
    Case("9110 10.1.1", "empty Expect", post(_LENGTH, "Expect:"), "417 any | 200 kept"),
]

_METHODS = [
    Case("9110 9.3.2", "HEAD", request(_HEALTH), "200 kept", without_content=(0,)),
    Case("9110 9.3.2", "HEAD, then GET", request(_HEALTH) + LAST, "200 404 kept", without_content=(0,)),
    Case(
        "9110 9.3.2",
        "HEAD for nothing",
        request("HEAD /nowhere HTTP/1.1") + get(),
        "404 200 kept",
        without_content=(0,),
    ),
    Case("9110 9.3.2", "HEAD where only POST is allowed", request("HEAD /predict HTTP/1.1"), "405 kept", "Allow", (0,)),
    Case("9110 9.3.2", "HEAD with close", request(_HEALTH, "Connection: close"), "200 closed", without_content=(0,)),
    Case("9110 9.3.2", "HEAD in HTTP/1.0", request("HEAD /health HTTP/1.0"), "200 closed", without_content=(0,)),
    Case("9110 9.3.2", "HEAD without Host", request(_HEALTH, host=None), "400 any", without_content=(0,)),
    Case(
        "9110 9.3.2",
        "HEAD with an upload's length, then a request",
        request(_HEALTH, "Content-Length: 5", body=b"hello") + LAST,
        "200 404 kept | 400 closed",
        without_content=(0,),
    ),
    Case("9110 9.3.7", "OPTIONS", request("OPTIONS /predict HTTP/1.1"), "200/204 kept", "Allow"),
    Case("9110 9.3.7", "OPTIONS for nothing", request("OPTIONS /nowhere HTTP/1.1"), "200/204/404 kept"),
    Case(
        "9110 9.3.7",
        "OPTIONS with a body",
        request("OPTIONS /predict HTTP/1.1", "Content-Length: 5", body=b"hello") + LAST,
        "200/204 404 kept",
    ),
]

_UPGRADE = [
    Case("9110 7.8", "websocket is ignored", get("/health", *_WEBSOCKET), "200 any"),
    Case(
        "9110 7.8",
        "h2c is ignored",
        get("/health", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"),
        "200 any",
    ),
    Case("9110 7.8", "Upgrade without Connection", get("/health", "Upgrade: websocket") + LAST, "200 404 kept"),
    Case("9110 7.8", "websocket, then a request", get("/health", *_WEBSOCKET) + LAST, "200 404 kept | 200 closed"),
    Case(
        "9110 7.8", "upload that asks for an upgrade", post(_LENGTH, "Connection: Upgrade", "Upgrade: h2c"), "200 any"
    ),
    Case(
        "9110 7.8",
        "chunked upload that asks for an upgrade",
        post("Transfer-Encoding: chunked", "Connection: Upgrade", "Upgrade: h2c", body=chunks(PNG)),
        "200 any",
    ),
    Case(
        "9110 7.8",
        "upload that asks for an upgrade, body in a segment of its own",
        (post(_LENGTH, "Connection: Upgrade", "Upgrade: h2c", body=b""), PNG),
        "200 any",
    ),
]

CASES = _EXPECT + _METHODS + _UPGRADE
