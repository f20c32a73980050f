"""Connections are balanced over the workers, also if all clients reconnect at the same time.

Starts a server with two workers. Needs Linux, because it counts the sockets of each worker in /proc. Takes about
15 seconds, because every round of ten keeps its connections loaded for one second.
"""

import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from bench import processes
from tests.server.photos import small
from tests.server.serving import serving
from tests.server.wire import Client

CONNECTIONS, ROUNDS = 8, 10


def workers_of(server, count):
    """The pids of the workers, once there are `count`."""
    deadline = time.monotonic() + 10
    while len(workers := processes.tree(server.pid)[1:]) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return workers


def test_connections_that_all_reconnect_at_once_are_balanced():
    head = "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n"
    upload = f"{head}Content-Length: {len(small())}\r\n\r\n".encode() + small()
    counts = []  # connections of the worker that has more, by round
    with serving(MAX_UPLOAD_MB=20, WEB_CONCURRENCY=2) as server:
        workers = workers_of(server, 2)
        idle = [processes.sockets(worker) for worker in workers]

        def count():
            counts.append(max(processes.sockets(worker) - own for worker, own in zip(workers, idle, strict=True)))

        # Every client keeps its connection loaded for a second. When all are through, they close and connect again.
        all_loaded = threading.Barrier(CONNECTIONS, action=count, timeout=60)

        def visit():
            for _ in range(ROUNDS):
                client = Client(server.port, timeout=30)
                deadline = time.monotonic() + 1
                while time.monotonic() < deadline:
                    client.send(upload)
                    answer = client.read()
                    assert answer.status in (200, 503)  # 503: the machine is busy with something else
                    if answer.fields["connection"] == "close":  # the server sends the client to the other worker
                        client.socket.close()
                        client = Client(server.port, timeout=30)
                all_loaded.wait()
                client.socket.close()

        with ThreadPoolExecutor(CONNECTIONS) as pool:
            for visitor in [pool.submit(visit) for _ in range(CONNECTIONS)]:
                visitor.result()
    # Half each is 4; a worker with 6 of 8 leaves the other one work to do.
    assert max(counts) <= 6, counts
    assert statistics.mean(counts) <= 5.2, counts
