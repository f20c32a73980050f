"""Random conversations with a server: the bytes of one connection, and the answer that each request must get."""

import random
from dataclasses import dataclass, field

from tests.server.conformance.case import chunks

_BOUNDARY = "mix"


@dataclass
class Expected:
    """What one answer must be. `identity` stands in its content, and the identity of no other request does."""

    status: int
    identity: str | None = None
    without_content: bool = False
    is_upload: bool = False  # may be answered with 503 if the machine is busy


@dataclass
class Conversation:
    """One connection: pieces that are sent one after another, and the answers in order.

    `way` is "pipelined" (everything at once), "one by one" (the next request after the answer), "slow" (in small pieces
    with pauses) or "aborted" (closed by the client at a random place, without reading).
    """

    way: str
    requests: list[bytes] = field(default_factory=list)
    expected: list[Expected] = field(default_factory=list)
    ends: bool = False  # the server closes the connection after the last answer


class Mix:
    """Makes conversations; the same ones for the same seed."""

    def __init__(self, seed: int, small: bytes, slow: bytes):
        self._random = random.Random(seed)
        self._small, self._slow = small, slow
        self._count = 0

    def conversation(self) -> Conversation:
        pick = self._random
        way = pick.choices(["pipelined", "one by one", "slow", "aborted"], [5, 4, 2, 1])[0]
        talk = Conversation(way)
        for _ in range(pick.randint(1, 12)):
            request, expected = self._request()
            talk.requests.append(request)
            talk.expected.append(expected)
        ending = pick.choices(["kept", "close", "close and more", "malformed"], [6, 2, 1, 2])[0]
        if ending == "malformed":
            talk.requests.append(pick.choice(_MALFORMED))
            talk.expected.append(Expected(400))
        elif ending != "kept":
            more = b"\r\n" if ending == "close and more" else b""
            identity = self._identity()
            talk.requests.append(_query(identity, "Content-Length: 0", "Connection: close") + more)
            talk.expected.append(Expected(400, identity))
        talk.ends = ending != "kept"
        return talk

    def split(self, data: bytes, pieces: int) -> list[bytes]:
        """`data` cut at random places."""
        cuts = sorted(self._random.randrange(len(data) + 1) for _ in range(pieces - 1))
        return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]

    def pause(self) -> float:
        """Seconds between two pieces."""
        return self._random.choice([0, 0, 0.001, 0.01])

    def until(self, length: int) -> int:
        """Where an aborted conversation ends."""
        return self._random.randrange(length)

    def _identity(self) -> str:
        self._count += 1
        return f"id-{self._count:06d}-"

    def _request(self) -> tuple[bytes, Expected]:
        pick = self._random
        identity = self._identity()
        body = pick.randbytes(pick.choice([0, 1, 100, 5_000, 70_000]))
        kind = pick.choices(
            ["length", "chunked", "continue", "upload", "slow", "get", "head"], [6, 6, 2, 4, 0.1, 3, 2]
        )[0]
        if kind == "length":
            return _query(identity, f"Content-Length: {len(body)}", body=body), Expected(400, identity)
        if kind == "chunked":
            parts = [part for part in self.split(body, pick.randint(1, 6)) if part]
            end = pick.choice([b"0\r\n\r\n", b"0\r\nA: b\r\n\r\n", b"000;a=b\r\n\r\n"])
            return _query(identity, "Transfer-Encoding: chunked", body=chunks(*parts, end=end)), Expected(400, identity)
        if kind == "continue":
            fields = f"Content-Length: {len(body)}", "Expect: 100-continue"
            return _query(identity, *fields, body=body), Expected(400, identity)
        if kind in ("upload", "slow"):
            image = self._small if kind == "upload" else self._slow
            return _upload(identity, image), Expected(200, identity, is_upload=True)
        method = "GET" if kind == "get" else "HEAD"
        path, status = pick.choice([("/health", 200), ("/nowhere", 404), ("/", 200), ("/predict", 405)])
        request = f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        return request, Expected(status, without_content=kind == "head")


_MALFORMED = [
    b"nonsense\r\n\r\n",
    b"GET /health HTTP/1.1\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n",
    b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
]


def _query(identity: str, *fields: str, body: bytes = b"") -> bytes:
    """A request with an invalid `top`, which the answer of 400 names."""
    lines = [f"POST /predict?top={identity} HTTP/1.1", "Host: x", "Content-Type: image/jpeg", *fields, "", ""]
    return "\r\n".join(lines).encode() + body


def _upload(identity: str, image: bytes) -> bytes:
    """An upload whose file name the answer repeats."""
    part = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{identity}"\r\n\r\n'
    body = part.encode() + image + f"\r\n--{_BOUNDARY}--\r\n".encode()
    lines = [
        "POST /predict HTTP/1.1",
        "Host: x",
        f"Content-Type: multipart/form-data; boundary={_BOUNDARY}",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body
