"""Call the WSGI application (PEP 3333), and write its answer as bytes of HTTP/1.1."""

import time
from collections.abc import Callable
from email.utils import formatdate
from functools import lru_cache
from typing import Any

from app.problems import Problem

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def call(application: Callable, environ: dict) -> tuple[str, list[tuple[str, str]], bytes]:
    """Call the application: the status with its reason, the headers, and the whole content."""
    started: list[Any] = []
    written: list[bytes] = []

    def start_response(status: str, headers: list[tuple[str, str]], _error: object = None) -> Callable:
        started[:] = status, headers
        return written.append

    content = application(environ, start_response)
    try:
        written.extend(content)
    finally:
        if hasattr(content, "close"):
            content.close()
    return started[0], started[1], b"".join(written)


def answer(method: str, status: str, headers: list[tuple[str, str]], content: bytes, keep_alive: bool) -> bytes:
    """The bytes of an answer, in one piece, so that sending it takes one system call."""
    lines = [f"HTTP/1.1 {status}", f"Date: {_date(int(time.time()))}"]
    lines.append("Connection: keep-alive" if keep_alive else "Connection: close")
    lines += [f"{name}: {value}" for name, value in headers]
    has_content = not status.startswith(("204", "304"))
    if has_content and not any(name.lower() == "content-length" for name, _ in headers):
        lines.append(f"Content-Length: {len(content)}")
    head = "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n"
    return head + content if has_content and method != "HEAD" else head


def refusal(method: str, problem: Problem) -> bytes:
    """The bytes of an answer to a request that the application does not see. The connection is closed after it."""
    response = problem.as_response()
    return answer(method, response.status, list(response.headers), response.get_data(), keep_alive=False)


@lru_cache(1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
