"""The two ways to what has no public address: Identity-Aware Proxy's tunnel to an instance, and kubectl's to a pod.

Both begin as an HTTP request that asks for another protocol, and then carry TCP: in WebSocket messages, or in SPDY
frames.
"""

import base64
import hashlib
import socket
import struct
import threading
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO

from .service import Call

IAP = "tunnel.cloudproxy.app"


def serve(cloud: "Cloud", call: Call, reader: BinaryIO, writer: BinaryIO) -> bool:
    """Carry a tunnel until one side ends. False where nobody could be reached: then nothing was written."""
    if call.host == IAP and "35.235.240.0/20" in str(cloud.compute.named("firewalls")):
        (group,) = cloud.compute.named("instanceGroupManagers").values()
        port = cloud.balancer.program("instances", cloud.compute.follow(group["serves"]))
        cloud.frontend.requests.append(f"IAP tunnel to {call.query['instance']} {call.query['port']}")
        relay(call, reader, writer, port)
        return True
    if call.headers["upgrade"] == "SPDY/3.1" and call.path.endswith("/portforward"):
        port = cloud.balancer.program("pods", cloud.kubernetes.serving())
        cloud.frontend.requests.append(f"port-forward to {call.path.split('/')[-2]}")
        forward(reader, writer, port)
        return True
    return False


def connect(port: int, received: Callable[[bytes], None]) -> socket.socket:
    """A connection to a program; what it sends is passed on, and an empty string when it has finished."""
    backend = socket.create_connection(("127.0.0.1", port))

    def listen() -> None:
        with backend, suppress(OSError, ValueError):  # the other side may have gone
            while data := backend.recv(16000):
                received(data)
            received(b"")

    threading.Thread(target=listen, daemon=True).start()
    return backend


def relay(call: Call, reader: BinaryIO, writer: BinaryIO, port: int) -> None:
    """IAP's relay protocol, version 4: each WebSocket message is a tag, a length and bytes."""
    key = call.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
    protocol = call.headers.get("sec-websocket-protocol", "")
    head = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept}",
    ]
    writer.write("\r\n".join([*head, f"Sec-WebSocket-Protocol: {protocol}", "", ""]).encode())

    def send(tag: int, data: bytes) -> None:
        message = struct.pack(">HI", tag, len(data)) + data
        length = bytes([len(message)]) if len(message) < 126 else b"\x7e" + struct.pack(">H", len(message))
        writer.write(b"\x82" + length + message)

    send(1, b"session")
    backend = connect(port, lambda data: send(4, data) if data else writer.write(b"\x88\x00"))
    while (frame := reader.read(2)) and frame[0] & 15 != 8:
        length = frame[1] & 127
        if length > 125:
            length = int.from_bytes(reader.read(2 if length == 126 else 8), "big")
        mask = reader.read(4)
        message = bytes(byte ^ mask[i % 4] for i, byte in enumerate(reader.read(length)))
        if message[:2] == b"\x00\x04":
            with suppress(OSError):  # the program may have finished first
                backend.sendall(message[6:])
    hang_up(backend)


def hang_up(backend: socket.socket) -> None:
    """The listening thread then closes it."""
    with suppress(OSError):
        backend.shutdown(socket.SHUT_RDWR)


def forward(reader: BinaryIO, writer: BinaryIO, port: int) -> None:
    """kubectl port-forward: for each connection a stream for errors and then one for data, in SPDY/3.1 frames."""
    head = ["HTTP/1.1 101 Switching Protocols", "Upgrade: SPDY/3.1", "Connection: Upgrade"]
    writer.write("\r\n".join([*head, "X-Stream-Protocol-Version: portforward.k8s.io", "", ""]).encode())
    lock, packed = threading.Lock(), zlib.compressobj()
    backends: dict[int, socket.socket] = {}
    opened = 0

    def send(*parts: bytes) -> None:
        with lock:
            writer.write(b"".join(parts))

    def data(stream: int) -> Callable[[bytes], None]:
        return lambda content: send(struct.pack(">II", stream, len(content) | (0 if content else 1 << 24)), content)

    while start := reader.read(8):
        first, second = struct.unpack(">II", start)
        last, body = second >> 24 & 1, reader.read(second & 0xFFFFFF)
        if not first >> 31:  # data
            with suppress(KeyError, OSError):  # the program may have finished first
                backends[first].sendall(body)
                if last:
                    backends[first].shutdown(socket.SHUT_WR)
        elif first & 0xFFFF == 1:  # a new stream
            stream = int.from_bytes(body[:4], "big")
            opened += 1
            reply = packed.compress(bytes(4)) + packed.flush(zlib.Z_SYNC_FLUSH)  # no headers
            send(struct.pack(">III", 0x80030002, len(reply) + 4, stream), reply)
            if opened % 2:
                data(stream)(b"")  # no error
            else:
                backends[stream] = connect(port, data(stream))
        elif first & 0xFFFF == 6:  # ping
            send(start, body)
        elif first & 0xFFFF == 3 and (stream := int.from_bytes(body[:4], "big")) in backends:  # reset
            hang_up(backends.pop(stream))
        elif first & 0xFFFF == 7:  # good-bye
            break
    for backend in backends.values():
        hang_up(backend)
