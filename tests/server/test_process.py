"""The server as a process: how it starts, refuses to start, logs and stops, and what it does with uploads.

Every test starts the real server as `make run` does, in the environment that has only what serving needs (.venv).
Takes about 15 seconds.
"""

import json
import re
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from tests.ports import free_port
from tests.server.serving import request, serving, start


def is_refused_within(seconds, port):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            return True
        except OSError:  # the listening socket is being closed
            pass
        time.sleep(0.02)
    return False


def failed_start(**settings):
    """Start a server that must not start: its exit status, and the lines that it printed itself."""
    process = start(subprocess.PIPE, **settings)
    output = process.communicate(timeout=20)[0].decode()
    assert "Traceback" not in output
    # LiteRT and gunicorn print lines of their own.
    return process.returncode, [line for line in output.splitlines() if line.startswith("quintet: ")]


def stopped_log(server):
    """Stop the server, and return what it has printed."""
    server.process.send_signal(signal.SIGTERM)
    server.process.wait(10)
    return server.log.read_text()


def test_photo_is_classified_and_sigterm_ends_with_status_0(cat):
    with serving(WEB_CONCURRENCY=2) as server:
        status, body = request(server.port, "POST", "/predict", cat, **{"Content-Type": "image/jpeg"})
        assert status == 200
        assert "cat" in json.loads(body)["predictions"][0]["label"]
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(10) == 0


def test_sigterm_finishes_a_begun_upload_and_refuses_new_connections(cat):
    # One worker: gunicorn does not signal a worker that it has only just forked, and kills it 8 s later.
    started = serving(WEB_CONCURRENCY=1)
    with started as server, socket.create_connection(("127.0.0.1", server.port), timeout=10) as link:
        head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: {len(cat)}\r\n\r\n"
        link.sendall(head.encode() + cat[:1000])
        request(server.port, "GET", "/health")  # after this answer the server has read the head of the upload
        server.process.send_signal(signal.SIGTERM)
        assert is_refused_within(3, server.port)
        link.sendall(cat[1000:])
        assert link.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert server.process.wait(10) == 0


def test_other_requests_are_answered_while_a_request_of_many_images_is(encode):
    large = encode(Image.new("L", (4000, 4000)), "PNG")  # a tenth of a second each
    parts = [b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + large + b"\r\n"] * 16
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    with serving() as server, ThreadPoolExecutor() as pool:
        body = b"".join([*parts, b"--b--\r\n"])
        long = pool.submit(request, server.port, "POST", "/predict", body, 30, **headers)
        seconds = []
        while not long.done():
            started = time.monotonic()
            assert request(server.port, "GET", "/health")[0] == 200
            seconds.append(time.monotonic() - started)
        assert long.result()[0] == 200
    assert len(seconds) > 3
    assert max(seconds) < 0.5


def test_start_logs_the_model_and_the_address():
    with serving(LOG_LEVEL="info") as server:
        assert re.search(rf"model/imagenet .*http://localhost:{server.port}\n", stopped_log(server))


def test_every_log_line_can_be_json(cat):
    trace = "0123456789abcdef0123456789abcdef"
    settings = {"LOG_FORMAT": "json", "GOOGLE_CLOUD_PROJECT": "demo", "LOG_LEVEL": "info"}
    with serving(**settings) as server:
        headers = {"Content-Type": "image/jpeg", "X-Cloud-Trace-Context": f"{trace}/255;o=1"}
        request(server.port, "POST", "/predict?secret=1", cat, **headers)
        output = stopped_log(server)
    lines = [line for line in output.splitlines() if "XNNPACK delegate" not in line]  # printed by LiteRT's C++ code
    entries = [json.loads(line) for line in lines]
    assert all({"severity", "message", "time"} <= entry.keys() for entry in entries)
    (entry,) = [entry for entry in entries if entry.get("httpRequest", {}).get("requestUrl") == "/predict"]
    assert entry["httpRequest"]["status"] == 200
    assert re.fullmatch(r"\d\.\d{6}s", entry["httpRequest"]["latency"])
    assert entry["logging.googleapis.com/trace"] == f"projects/demo/traces/{trace}"
    assert entry["logging.googleapis.com/spanId"] == "00000000000000ff"
    assert entry["logging.googleapis.com/trace_sampled"] is True
    assert "secret" not in output


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"PORT": "http"}, "invalid PORT 'http': expected a whole number from 1 to 65535"),
        ({"MAX_IMAGES": "0"}, "invalid MAX_IMAGES '0': expected a whole number from 1 to 1000"),
        ({"MODEL": "model/nowhere"}, "no bundle at model/nowhere: the folder does not exist; `make train` writes one"),
        ({"MODEL": "app"}, "app is not a bundle: it has no model.json; `make train` writes one"),
    ],
)
def test_invalid_setting_ends_the_start_with_one_line_and_status_2(settings, message):
    settings = {"PORT": free_port()} | settings
    assert failed_start(**settings) == (2, [f"quintet: {message}"])


def test_damaged_bundle_ends_the_start_with_status_2(copied_bundle):
    (copied_bundle / "labels.txt").write_text("only one\n")
    code, (line,) = failed_start(PORT=free_port(), MODEL=copied_bundle)
    assert code == 2
    assert "labels.txt is damaged" in line


def test_port_in_use_is_named():
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, (line,) = failed_start(PORT=port)
    assert code == 2
    assert re.search(rf"PORT {port}\b.*\(?Address already in use\)?.*PORT=\d+ make run", line)


def test_answer_to_a_body_over_the_limit_arrives_while_the_body_is_still_being_sent():
    with serving(MAX_UPLOAD_MB=1) as server, socket.create_connection(("127.0.0.1", server.port)) as link:
        link.settimeout(10)
        head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: {30 * 2**20}\r\n\r\n"
        link.sendall(head.encode() + b"x" * 100_000)
        assert link.recv(65536).startswith(b"HTTP/1.1 413 ")
        link.sendall(b"x" * 2**20)  # still read, and discarded


def test_answer_to_a_body_over_the_limit_reaches_a_client_that_sends_all_of_it_first():
    with serving(MAX_UPLOAD_MB=1) as server:
        status, _ = request(server.port, "POST", "/predict", bytes(8 * 2**20), **{"Content-Type": "image/jpeg"})
    assert status == 413


def test_uploads_are_never_written_to_a_disk(cat, tmp_path):
    # TMPDIR does not exist, so an upload that was written to a temporary file would fail.
    missing = tmp_path / "missing"
    boundary = "b"
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="c.jpg"\r\n\r\n'.encode()
        + cat
        + b"\0" * 2_000_000
        + f"\r\n--{boundary}--\r\n".encode()
    )
    with serving(TMPDIR=missing) as server:
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        assert request(server.port, "POST", "/predict", body, **headers)[0] == 200
