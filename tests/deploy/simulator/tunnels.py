"""Tunnels to programs without a public address: Identity-Aware Proxy's to an instance, and kubectl's to a pod.

Both begin as an HTTP request for a protocol upgrade, and then carry TCP: in WebSocket messages, or in SPDY frames. One
thread moves all bytes of a tunnel, because OpenSSL does not allow two threads to use one TLS connection.
"""

import base64
import hashlib
import selectors
import socket
import ssl
import struct
import zlib
from contextlib import ExitStack, suppress

from .service import Call

IAP = "tunnel.cloudproxy.app"
TIMEOUT = 30  # seconds for one write


def serve(cloud: "Cloud", call: Call, client: socket.socket) -> bool:
    """Carry a tunnel until one side closes it. Return False, and write nothing, if there is nothing to connect to."""
    if call.host == IAP and "35.235.240.0/20" in str(cloud.compute.named("firewalls")):
        (group,) = cloud.compute.named("instanceGroupManagers").values()
        port = cloud.balancer.program("instances", cloud.compute.follow(group["serves"]))
        cloud.frontend.requests.append(f"IAP tunnel to {call.query['instance']} {call.query['port']}")
        IapTunnel(cloud, call, client, port).run()
        return True
    if call.headers["upgrade"] == "SPDY/3.1" and call.path.endswith("/portforward"):
        port = cloud.balancer.program("pods", cloud.kubernetes.serving())
        cloud.frontend.requests.append(f"port-forward to {call.path.split('/')[-2]}")
        PortForward(cloud, call, client, port).run()
        return True
    return False


class Tunnel:
    """Moves bytes between `client` and connections to the program at `port`, one connection for each stream.

    A subclass knows the protocol: `upgrade` returns the headers of the 101 response, `parse` takes whole frames out of
    `self.buffer`, and `deliver` sends what the program answered, b"" at its end.
    """

    def __init__(self, cloud: "Cloud", call: Call, client: socket.socket, port: int) -> None:
        self.cloud, self.call, self.client, self.port = cloud, call, client, port
        self.buffer = bytearray()
        self.streams: dict[int, socket.socket] = {}
        self.is_open = True
        self.has_data = False

    def upgrade(self) -> list[str]:
        raise NotImplementedError

    def greeting(self) -> bytes:
        """What follows the head of the 101 response."""
        return b""

    def parse(self) -> None:
        raise NotImplementedError

    def deliver(self, stream: int, data: bytes) -> None:
        raise NotImplementedError

    def run(self) -> None:
        with ExitStack() as stack:
            self.stack = stack
            self.selector = stack.enter_context(selectors.DefaultSelector())
            self.selector.register(self.client, selectors.EVENT_READ)
            head = ["HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", *self.upgrade(), "", ""]
            self.send("\r\n".join(head).encode() + self.greeting())
            with suppress(OSError):  # the client may have gone
                while self.is_open:
                    for key, _ in self.selector.select():
                        if key.fileobj is self.client:
                            self.receive()
                        else:
                            self.answer(key.data)

    def send(self, data: bytes) -> None:
        self.client.settimeout(TIMEOUT)
        self.client.sendall(data)

    def receive(self) -> None:
        """Read all that the client has sent; a TLS connection may hold more than the socket shows."""
        self.client.setblocking(False)
        with suppress(ssl.SSLWantReadError, BlockingIOError):
            while data := self.client.recv(65536):
                self.buffer += data
            self.is_open = False
        self.parse()

    def connect(self, stream: int) -> None:
        backend = self.stack.enter_context(socket.create_connection(("127.0.0.1", self.port), TIMEOUT))
        self.streams[stream] = backend
        self.selector.register(backend, selectors.EVENT_READ, stream)

    def disconnect(self, stream: int) -> None:
        if backend := self.streams.pop(stream, None):
            self.selector.unregister(backend)
            backend.close()

    def forward(self, stream: int, data: bytes) -> None:
        """Pass data to the program, or cut the tunnel if the conditions say so."""
        if not self.has_data and self.cloud.count("tunnel with data") <= self.cloud.conditions.dropped_tunnels:
            self.is_open = False
        self.has_data = True
        if self.is_open and stream in self.streams:
            with suppress(OSError):  # the program may have finished first
                self.streams[stream].sendall(data)

    def answer(self, stream: int) -> None:
        if stream not in self.streams:
            return  # closed by an event of the same round
        try:
            data = self.streams[stream].recv(16000)
        except OSError:
            data = b""
        if not data:
            self.disconnect(stream)
        self.deliver(stream, data)


class IapTunnel(Tunnel):
    """IAP's relay protocol, version 4: each WebSocket message is a tag (1 session, 4 data), a length and bytes."""

    def upgrade(self) -> list[str]:
        self.connect(0)
        key = self.call.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        protocol = self.call.headers.get("sec-websocket-protocol", "")
        return ["Upgrade: websocket", f"Sec-WebSocket-Accept: {accept}", f"Sec-WebSocket-Protocol: {protocol}"]

    def greeting(self) -> bytes:
        return self.frame(1, b"session")

    def frame(self, tag: int, data: bytes) -> bytes:
        message = struct.pack(">HI", tag, len(data)) + data
        length = bytes([len(message)]) if len(message) < 126 else b"\x7e" + struct.pack(">H", len(message))
        return b"\x82" + length + message

    def deliver(self, stream: int, data: bytes) -> None:
        self.send(self.frame(4, data) if data else b"\x88\x00")

    def parse(self) -> None:
        while len(self.buffer) >= 2:
            extra = {126: 2, 127: 8}.get(self.buffer[1] & 127, 0)
            start = 2 + extra + 4  # the head, the extended length, the mask
            length = int.from_bytes(self.buffer[2 : 2 + extra]) if extra else self.buffer[1] & 127
            if len(self.buffer) < start + length:
                return
            mask = self.buffer[start - 4 : start]
            message = bytes(byte ^ mask[i % 4] for i, byte in enumerate(self.buffer[start : start + length]))
            closing = self.buffer[0] & 15 == 8
            del self.buffer[: start + length]
            if closing:
                self.is_open = False
            elif message[:2] == b"\x00\x04":
                self.forward(0, message[6:])


class PortForward(Tunnel):
    """kubectl port-forward: for each connection a stream for errors and then one for data, in SPDY/3.1 frames."""

    def upgrade(self) -> list[str]:
        self.packed = zlib.compressobj()
        self.opened = 0
        return ["Upgrade: SPDY/3.1", "X-Stream-Protocol-Version: portforward.k8s.io"]

    def deliver(self, stream: int, data: bytes) -> None:
        last = 0 if data else 1 << 24
        self.send(struct.pack(">II", stream, len(data) | last) + data)

    def parse(self) -> None:
        while len(self.buffer) >= 8:
            first, second = struct.unpack(">II", self.buffer[:8])
            end = 8 + (second & 0xFFFFFF)
            if len(self.buffer) < end:
                return
            frame, body = bytes(self.buffer[:end]), bytes(self.buffer[8:end])
            del self.buffer[:end]
            if first >> 31:
                self.control(first & 0xFFFF, frame, body)
            else:
                self.forward(first, body)
                if second >> 24 & 1 and first in self.streams:
                    with suppress(OSError):
                        self.streams[first].shutdown(socket.SHUT_WR)

    def control(self, kind: int, frame: bytes, body: bytes) -> None:
        stream = int.from_bytes(body[:4])
        if kind == 1:  # a new stream
            self.opened += 1
            reply = self.packed.compress(bytes(4)) + self.packed.flush(zlib.Z_SYNC_FLUSH)  # no headers
            self.send(struct.pack(">III", 0x80030002, len(reply) + 4, stream) + reply)
            if self.opened % 2:
                self.deliver(stream, b"")  # no error
            else:
                self.connect(stream)
        elif kind == 3:  # reset
            self.disconnect(stream)
        elif kind == 6:  # ping
            self.send(frame)
        elif kind == 7:  # go away
            self.is_open = False
