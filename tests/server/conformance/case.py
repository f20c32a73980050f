"""What one conformance case is, and the requests that most cases are made of."""

import struct
import zlib
from dataclasses import dataclass

AWAIT = "await"  # between two pieces: send the next one only after one more answer has arrived


@dataclass(frozen=True)
class Case:
    """One connection: what the client sends, and what RFC 9112 allows the server to do.

    `expected` lists the allowed outcomes, separated by "|". An outcome is the statuses of the answers in order, each
    with its alternatives ("400/501"), and then the state of the connection:

    - `kept`: the next request on the connection is answered
    - `closed`: the server closes the connection, and sends nothing else
    - `waits`: the server waits for the rest of the request
    - `any`: the RFC leaves it to the server
    """

    section: str  # "9112 3.2" or "9110 10.1.1"; SECTIONS in this package has the titles
    name: str  # what is sent, in plain words
    sent: bytes | tuple[bytes | str, ...]  # pieces are sent one after another, in segments of their own
    expected: str
    contains: str = ""  # a field that the first answer must have
    without_content: tuple[int, ...] = ()  # positions of the answers to HEAD
    half_close: bool = False  # the client sends its FIN after the last byte
    deviation: str = ""  # why the server does something else; the case must then fail


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


# A grey image of 8 x 8 pixels. /predict answers 200 only if it gets exactly these bytes: 415 or 422 otherwise.
PNG = b"".join(
    [
        b"\x89PNG\r\n\x1a\n",
        _chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)),
        _chunk(b"IDAT", zlib.compress((b"\0" + b"\x80" * 8) * 8)),
        _chunk(b"IEND", b""),
    ]
)
SIZE = len(PNG)


def request(line: str | bytes, *fields: str | bytes, host: str | None = "x", body: bytes = b"") -> bytes:
    """A request with this request line and these field lines; Host comes first, unless `host` is None."""
    lines = [line, *([f"Host: {host}"] if host is not None else []), *fields]
    return b"\r\n".join([text.encode("latin-1") if isinstance(text, str) else text for text in lines] + [b"", body])


def get(path: str = "/health", *fields: str | bytes, host: str | None = "x", body: bytes = b"") -> bytes:
    return request(f"GET {path} HTTP/1.1", *fields, host=host, body=body)


def post(*fields: str | bytes, body: bytes = PNG, version: str = "HTTP/1.1") -> bytes:
    """An upload of `body` to /predict. `fields` must say how long it is."""
    return request(f"POST /predict {version}", "Content-Type: image/png", *fields, body=body)


def chunked(body: bytes, *fields: str | bytes) -> bytes:
    """An upload of `body`, which is already in the chunked coding."""
    return post("Transfer-Encoding: chunked", *fields, body=body)


def chunks(*parts: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """`parts` in the chunked coding, one chunk each."""
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + end


UPLOAD = post(f"Content-Length: {SIZE}")  # answered with 200
LAST = get("/nowhere")  # answered with 404, which tells it from the request before it
SMUGGLED = get("/smuggled")  # a 404 that is never right: it stands inside another request
