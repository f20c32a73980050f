"""The HTTPS proxy: terminates TLS for every host with a temporary certificate and passes each request to the cloud."""

import json
import socketserver
import ssl
import subprocess
import sys
import threading
import traceback
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from . import tunnels
from .service import Answer, Call, Refusal

HOSTS = ["googleapis.com", "google.com", "pkg.dev", "example.com", "europe-west1.gke.goog", "cloudproxy.app"]
NAMES = ",".join(f"DNS:*.{host}" for host in HOSTS) + ",DNS:localhost,IP:127.0.0.1"


def make_certificates(folder: Path) -> Path:
    """Create a certificate authority and a certificate signed by it; return the authority's, for gcloud to trust."""
    authority, key, request, certificate = (folder / name for name in ("ca.pem", "key.pem", "request.pem", "cert.pem"))
    new = ["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout"]
    sign = ["openssl", "x509", "-req", "-in", request, "-CA", authority, "-CAkey", folder / "ca.key"]
    for command in (
        [*new, folder / "ca.key", "-x509", "-days", "2", "-subj", "/CN=Simulator", "-out", authority],
        [*new, key, "-subj", "/CN=simulator", "-addext", f"subjectAltName={NAMES}", "-out", request],
        [*sign, "-CAcreateserial", "-days", "2", "-copy_extensions", "copy", "-out", certificate],
    ):
        subprocess.run(command, check=True, capture_output=True)
    return authority


class Handler(BaseHTTPRequestHandler):
    """One connection of a client: CONNECT, then requests in TLS; or plain requests, as to a Kubernetes endpoint."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 30
    host = ""

    def do_CONNECT(self) -> None:
        self.send_response(200, "Connection established")
        self.end_headers()
        self.host = self.path.partition(":")[0]
        self.connection = self.server.context.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = socketserver._SocketWriter(self.connection)
        self.close_connection = False

    def finish(self) -> None:
        super().finish()
        self.connection.close()  # the server closes only the plain socket, which TLS has replaced

    def respond(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        content = self.rfile.read(length) if length else self.chunks()
        host = self.host or self.headers.get("Host", "").partition(":")[0]
        call = Call(self.command, host, self.path, {k.lower(): v for k, v in self.headers.items()}, content)
        if "upgrade" in call.headers and tunnels.serve(self.server.cloud, call, self.connection):
            self.close_connection = True
            return
        try:
            answer = self.server.cloud.answer(call)
        except Refusal as refusal:
            answer = refusal.answer
        except Exception:
            traceback.print_exc()
            answer = Refusal(400, "FAILED_PRECONDITION", f"The simulator has a bug: {sys.exception()!r}").answer
        self.send(answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = respond  # noqa: N815

    def chunks(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return b""
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def send(self, answer: Answer) -> None:
        content = answer.content
        if not isinstance(content, bytes):
            content = json.dumps({} if content is None else content).encode()
        self.send_response(answer.status)
        for name, value in {"Content-Type": "application/json; charset=UTF-8", **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        pass


class Proxy(socketserver.ThreadingTCPServer):
    """Listens on a free loopback port; `cloud` answers."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, cloud: "Cloud", certificates: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.cloud = cloud
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that disconnect; report errors of the simulator."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)
