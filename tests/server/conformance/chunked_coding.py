"""RFC 9112, section 7.1: chunk sizes, chunk extensions, line ends and trailer fields."""

from tests.server.conformance.case import LAST, PNG, SIZE, Case, chunked, chunks

_END = b"0\r\n\r\n"
_HALF = PNG[:40], PNG[40:]


def _sized(size: str | bytes, *, data: bytes = PNG) -> bytes:
    """One chunk whose size line says `size`, and the last chunk."""
    line = size.encode("latin-1") if isinstance(size, str) else size
    return chunked(line + b"\r\n" + data + b"\r\n" + _END)


_SIZES = [
    Case("9112 7.1", "several chunks", chunked(chunks(*_HALF)), "200 kept"),
    Case("9112 7.1", "chunks of one byte", chunked(chunks(*[bytes([byte]) for byte in PNG])), "200 kept"),
    Case(
        "9112 7.1",
        "chunks in segments of their own",
        (chunked(b""), chunks(_HALF[0], end=b""), chunks(_HALF[1])),
        "200 kept",
    ),
    Case(
        "9112 7.1",
        "chunk size in two segments",
        (chunked(b"%x" % SIZE)[:-1], b"%x\r\n" % (SIZE % 16) + PNG + b"\r\n" + _END),
        "200 kept",
    ),
    Case(
        "9112 7.1", "chunk in segments of one byte", tuple(bytes([byte]) for byte in chunked(chunks(PNG))), "200 kept"
    ),
    Case("9112 7.1", "size in upper case", _sized(f"{SIZE:X}"), "200 kept"),
    Case("9112 7.1", "size in lower case", _sized(f"{SIZE:x}"), "200 kept"),
    Case("9112 7.1", "letters in both cases", _sized("aB", data=PNG + bytes(0xAB - SIZE)), "200 kept"),
    Case("9112 7.1", "leading zeros", _sized(f"000{SIZE:x}"), "200 kept"),
    Case("9112 7.1", "100 leading zeros", _sized("0" * 100 + f"{SIZE:x}"), "200 kept | 400/413 closed"),
    Case("9112 7.1", "last chunk of three zeros", chunked(chunks(PNG, end=b"000\r\n\r\n")), "200 kept"),
    Case("9112 7.1", "no data at all", chunked(_END), "400/415 kept"),
    Case("9112 7.1", "the next request follows at once", chunked(chunks(*_HALF)) + LAST, "200 404 kept"),
    Case("9112 7.1", "data that has not ended yet", chunked(chunks(PNG, end=b"")), "waits"),
    Case("9112 7.1", "last chunk that has not ended yet", chunked(chunks(PNG, end=b"0\r\n")), "waits"),
    Case(
        "9112 8",
        "connection closed before the last chunk",
        chunked(chunks(PNG, end=b"")),
        "400/408 closed | closed",
        half_close=True,
    ),
    *[
        Case("9112 7.1", f"invalid size {size!r}", _sized(size), "400 closed")
        for size in (
            "",
            f"-{SIZE:x}",
            f"+{SIZE:x}",
            f"0x{SIZE:x}",
            f" {SIZE:x}",
            f"\t{SIZE:x}",
            f"{SIZE:x} ",
            f"{SIZE:x}\t",
            f"{SIZE:x} {SIZE:x}",
            f"{SIZE:x}g",
            f"{SIZE:x}h",
            f"{SIZE:x}.0",
            f"{SIZE:x},",
            f"{SIZE:x}\0",
            "G",
            "\xb2",
            "1_0",
        )
    ],
    *[
        Case("9112 7.1", f"size {size} is far too large", _sized(size), "400/413 closed")
        for size in ("7fffffffffffffff", "8000000000000000", "ffffffffffffffff", f"1{SIZE:016x}", "f" * 40)
    ],
    Case("9112 7.1", "chunk over the limit", _sized("200000"), "413 closed"),
    Case("9112 7.1", "many chunks over the limit", chunked(chunks(*[bytes(60_000)] * 18)), "413 closed"),
]

_EXTENSIONS = [
    *[
        Case("9112 7.1.1", f"extension {extension}", _sized(f"{SIZE:x}{extension}"), "200 kept")
        for extension in (";a", ";a=b", ";a=b;c=d", ';a="b c"', ';a="b;c"', ' ; a = "b"')
    ],
    Case("9112 7.1.1", "extension of the last chunk", chunked(chunks(PNG, end=b"0;a=b\r\n\r\n")), "200 kept"),
    Case("9112 7.1.1", "extension of 1,000 bytes", _sized(f"{SIZE:x};" + "a" * 1000), "200 kept | 400/413/431 closed"),
    Case("9112 7.1.1", "extension of 1 MB", _sized(f"{SIZE:x};" + "a" * 2**20), "400/413/431 closed"),
    Case("9112 7.1.1", "extension without a name", _sized(f"{SIZE:x};"), "200 kept | 400 closed"),
    Case("9112 7.1.1", "extension with a NUL", _sized(f"{SIZE:x};a\0"), "400 closed"),
    Case("9112 7.1.1", "extension with a bare CR", _sized(f"{SIZE:x};a\rb"), "400 closed"),
    Case(
        "9112 7.1.1",
        "extension that ends with a bare LF",
        chunked(b"%x;a\n" % SIZE + PNG + b"\r\n" + _END),
        "400 closed",
    ),
]

_LINE_ENDS = [
    Case("9112 7.1", f"{what}", chunked(body), "400 closed")
    for what, body in {
        "size that ends with a bare LF": b"%x\n" % SIZE + PNG + b"\r\n" + _END,
        "size that ends with a bare CR": b"%x\r" % SIZE + PNG + b"\r\n" + _END,
        "data that ends with a bare LF": b"%x\r\n" % SIZE + PNG + b"\n" + _END,
        "data that ends with a bare CR": b"%x\r\n" % SIZE + PNG + b"\r" + _END,
        "no line end after the data": b"%x\r\n" % SIZE + PNG + _END,
        "data longer than its size": b"%x\r\n" % (SIZE - 2) + PNG + b"\r\n" + _END,
        "two other bytes instead of CRLF": b"%x\r\n" % SIZE + PNG + b"ab" + _END,
        "bare LF everywhere": b"%x\n" % SIZE + PNG + b"\n0\n\n",
        "empty line before the size": b"\r\n" + chunks(PNG),
    }.items()
]

_TRAILERS = [
    Case("9112 7.1.2", "trailer field", chunked(chunks(PNG, end=b"0\r\nA: b\r\n\r\n")), "200 kept"),
    Case(
        "9112 7.1.2",
        "announced trailer field",
        chunked(chunks(PNG, end=b"0\r\nA: b\r\n\r\n"), "Trailer: A"),
        "200 kept",
    ),
    *[
        Case(
            "9112 7.1.2",
            f"{field!r} as a trailer field changes nothing",
            chunked(chunks(PNG, end=b"0\r\n" + field.encode() + b"\r\n\r\n")) + LAST,
            "200 404 kept | 400 closed",
        )
        for field in (
            "Content-Length: 5",
            "Transfer-Encoding: chunked",
            "Transfer-Encoding: gzip",
            "Host: y",
            "Connection: close",
            "Content-Type: text/plain",
            "Expect: 100-continue",
        )
    ],
    Case(
        "9112 7.1.2",
        "folded trailer field",
        chunked(chunks(PNG, end=b"0\r\nA: b\r\n c\r\n\r\n")),
        "200 kept | 400 closed",
    ),
    Case(
        "9112 7.1.2", "trailer line without a colon", chunked(chunks(PNG, end=b"0\r\nnonsense\r\n\r\n")), "400 closed"
    ),
    Case(
        "9112 7.1.2",
        "space before the colon of a trailer field",
        chunked(chunks(PNG, end=b"0\r\nA : b\r\n\r\n")),
        "400 closed",
    ),
    Case(
        "9112 7.1.2",
        "trailer field with a NUL in its name",
        chunked(chunks(PNG, end=b"0\r\nA\0: b\r\n\r\n")),
        "400 closed",
    ),
    Case(
        "9112 7.1.2",
        "5,000 trailer fields",
        chunked(chunks(PNG, end=b"0\r\n" + b"A: b\r\n" * 5000 + b"\r\n")),
        "400/413/431 closed",
    ),
    Case(
        "9112 7.1.2",
        "trailer field of 100,000 bytes",
        chunked(chunks(PNG, end=b"0\r\nA: " + b"b" * 100_000 + b"\r\n\r\n")),
        "400/413/431 closed",
    ),
    Case("9112 7.1.2", "empty line that is a bare LF", chunked(chunks(PNG, end=b"0\r\n\n")), "200 kept | 400 closed"),
]

CASES = _SIZES + _EXTENSIONS + _LINE_ENDS + _TRAILERS
