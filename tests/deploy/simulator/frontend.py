"""The URLs of what is deployed. Each is a loopback port that checks the caller's access, as Google's front end does,
and forwards the request to the program behind it.
"""

import contextlib
import http.client
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .workloads import Workloads

HOP = {"connection", "transfer-encoding", "keep-alive", "content-length", "server", "date"}


@dataclass
class Address:
    """What is behind a URL.

    `allowed` decides by the request's headers; `port` starts the program and returns its port, or None if it did not
    start; `hidden` says whether the URL answers 404 outside of the project's network.
    """

    allowed: Callable[[dict[str, str]], bool]
    port: Callable[[], int | None]
    hidden: Callable[[], bool]
    server: ThreadingHTTPServer = field(default=None)


class Frontend:
    """The published URLs.

    `requests` records requests as "NAME METHOD /path STATUS"; a test sets `tamper` to change the bodies of responses.
    """

    def __init__(self, workloads: Workloads) -> None:
        self.workloads = workloads
        self.addresses: dict[str, Address] = {}
        self.requests: list[str] = []
        self.tamper: Callable[[str, bytes], bytes] = lambda _path, body: body

    def publish(
        self,
        name: str,
        allowed: Callable[[dict[str, str]], bool],
        port: Callable[[], int | None],
        hidden: Callable[[], bool] = lambda: False,
    ) -> str:
        """Give `name` a URL, or the URL that it has another program; return the URL."""
        if name not in self.addresses:
            address = self.addresses[name] = Address(allowed, port, hidden)
            handler = type("NamedHandler", (Handler,), {"frontend": self, "name": name})
            address.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
            address.server.daemon_threads = True
            loop = {"poll_interval": 0.05}
            threading.Thread(target=address.server.serve_forever, kwargs=loop, daemon=True).start()
        address = self.addresses[name]
        address.allowed, address.port, address.hidden = allowed, port, hidden
        return f"http://127.0.0.1:{address.server.server_port}"

    def close(self) -> None:
        for address in self.addresses.values():
            address.server.shutdown()
            address.server.server_close()


class Handler(BaseHTTPRequestHandler):
    wbufsize = -1  # head and body in one packet
    frontend: Frontend
    name: str

    def respond(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        address = self.frontend.addresses[self.name]
        headers = {name.lower(): value for name, value in self.headers.items()}
        if address.hidden():
            status, sent, body = (
                404,
                [("Content-Type", "text/html")],
                b"The requested URL was not found on this server.",
            )
        elif not address.allowed(headers):
            status, sent, body = (
                403,
                [("Content-Type", "text/html")],
                b"Your client does not have permission to get this URL.",
            )
        elif (port := address.port()) is None:
            status, sent, body = 503, [("Content-Type", "text/html")], b"Service Unavailable"
        else:
            status, sent, body = self.forward(port, content)
        self.frontend.requests.append(f"{self.name} {self.command} {self.path} {status}")
        self.send_response(status)
        for name, value in sent:
            if name.lower() not in HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = respond  # noqa: N815

    def forward(self, port: int, content: bytes) -> tuple[int, list, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        kept = {name: value for name, value in self.headers.items() if name.lower() not in HOP | {"authorization"}}
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # an early response, such as 413
            connection.request(self.command, self.path, content or None, kept)
        answer = connection.getresponse()
        body = self.frontend.tamper(self.path, answer.read())
        connection.close()
        return answer.status, answer.getheaders(), body

    def log_message(self, *args: object) -> None:
        pass
