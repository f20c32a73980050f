"""The real server, started as `make run` starts it, in the environment that has nothing but what serving needs."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from PIL import Image

from tests.conftest import ROOT
from tests.ports import free_port

GUNICORN = ROOT / ".venv" / "bin" / "gunicorn"


def start(**settings):
    environ = {name: value for name, value in os.environ.items() if name not in ("MODEL", "LOG_FORMAT")}
    environ |= {name: str(value) for name, value in settings.items()}
    return subprocess.Popen(
        [GUNICORN], cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def request(port, method, path, body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def wait_ready(port, process, seconds=20, prefix=""):
    """Seconds until /ready answers 200, below the path that SCRIPT_NAME puts before every address."""
    started = time.monotonic()
    while time.monotonic() < started + seconds:
        try:
            if request(port, "GET", f"{prefix}/ready")[0] == 200:
                return time.monotonic() - started
        except OSError:
            assert process.poll() is None, process.stdout.read()
            time.sleep(0.005)
    pytest.fail(f"not ready after {seconds} s")


def is_refused_within(seconds, port):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            return True
        except OSError:  # just between listening and not
            pass
        time.sleep(0.02)
    return False


@contextmanager
def running(**settings):
    port = free_port()
    process = start(PORT=port, **settings)
    try:
        wait_ready(port, process, prefix=settings.get("SCRIPT_NAME", ""))
        yield port, process
    finally:
        process.kill()
        process.communicate()


def refused(**settings):
    """Start a server that must refuse: its exit code and what it said, without LiteRT's and gunicorn's own lines."""
    process = start(**settings)
    output, _ = process.communicate(timeout=20)
    assert "Traceback" not in output
    return process.returncode, [line for line in output.splitlines() if line.startswith("quintet: ")]


def test_photo_is_classified_and_stop_is_clean(cat):
    with running() as (port, process):
        status, body = request(port, "POST", "/predict", cat, **{"Content-Type": "image/jpeg"})
        assert status == 200
        assert "cat" in json.loads(body)["predictions"][0]["label"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_stop_finishes_what_is_under_way_and_refuses_what_is_new(cat):
    # One worker: gunicorn forgets to stop one that has only just been forked, until it kills it 8 s later.
    started = running(WEB_CONCURRENCY=1)
    with started as (port, process), socket.create_connection(("127.0.0.1", port), timeout=10) as link:
        head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: {len(cat)}\r\n\r\n"
        link.sendall(head.encode() + cat[:1000])
        request(port, "GET", "/health")  # by now the upload has a thread
        process.send_signal(signal.SIGTERM)
        assert is_refused_within(3, port)
        link.sendall(cat[1000:])
        assert link.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert process.wait(10) == 0


def test_others_are_answered_while_pictures_take_long(encode):
    large = encode(Image.new("L", (4000, 4000)), "PNG")  # a tenth of a second each
    parts = [b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + large + b"\r\n"] * 16
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    # Nobody reads its log meanwhile: a line for each of these requests would fill the pipe.
    started = running(WEB_CONCURRENCY=1, LOG_LEVEL="warning")
    with started as (port, _), ThreadPoolExecutor() as pool:
        long = pool.submit(request, port, "POST", "/predict", b"".join([*parts, b"--b--\r\n"]), **headers)
        waits = []
        while not long.done():
            started = time.monotonic()
            assert request(port, "GET", "/health")[0] == 200
            waits.append(time.monotonic() - started)
        assert long.result()[0] == 200
    assert len(waits) > 3
    assert max(waits) < 0.5


def test_start_says_the_address():
    with running(WEB_CONCURRENCY=1) as (port, process):
        process.send_signal(signal.SIGTERM)
        assert f"Quintet serves model/imagenet on http://localhost:{port}\n" in process.communicate(timeout=10)[0]


def test_logs_can_be_json_throughout(cat):
    trace = "0123456789abcdef0123456789abcdef"
    settings = {"LOG_FORMAT": "json", "GOOGLE_CLOUD_PROJECT": "demo", "WEB_CONCURRENCY": 1}
    with running(**settings) as (port, process):
        headers = {"Content-Type": "image/jpeg", "X-Cloud-Trace-Context": f"{trace}/255;o=1"}
        request(port, "POST", "/predict?secret=1", cat, **headers)
        process.send_signal(signal.SIGTERM)
        output = process.communicate(timeout=10)[0]
    lines = [line for line in output.splitlines() if "XNNPACK delegate" not in line]  # LiteRT's C++ side says this
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
def test_start_that_cannot_succeed_ends_with_one_line_and_status_2(settings, message):
    settings = {"PORT": free_port()} | settings
    assert refused(**settings) == (2, [f"quintet: {message}"])


def test_damaged_bundle_ends_the_start(copied_bundle):
    (copied_bundle / "labels.txt").write_text("only one\n")
    code, (line,) = refused(PORT=free_port(), MODEL=copied_bundle)
    assert code == 2
    assert "labels.txt is damaged" in line


def test_port_that_is_taken_is_named():
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, (line,) = refused(PORT=port)
    assert code == 2
    assert line.startswith(f"quintet: PORT {port} cannot be used (Address already in use): choose another")


def test_answer_to_a_body_over_the_limit_arrives_while_it_is_still_being_sent():
    with (
        running(MAX_UPLOAD_MB=1, WEB_CONCURRENCY=1) as (port, _),
        socket.create_connection(("127.0.0.1", port)) as link,
    ):
        link.settimeout(10)
        head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: {30 * 2**20}\r\n\r\n"
        link.sendall(head.encode() + b"x" * 100_000)
        assert link.recv(65536).startswith(b"HTTP/1.1 413 ")
        link.sendall(b"x" * 2**20)  # still read, and dropped


def test_answer_to_a_body_over_the_limit_reaches_a_client_that_sends_all_of_it_first():
    with running(MAX_UPLOAD_MB=1, WEB_CONCURRENCY=1) as (port, _):
        status, _ = request(port, "POST", "/predict", bytes(8 * 2**20), **{"Content-Type": "image/jpeg"})
    assert status == 413


def test_uploads_are_never_written_to_a_disk(cat, tmp_path):
    # With no room for a single byte in TMPDIR, an upload that touched it would fail.
    missing = tmp_path / "missing"
    boundary = "b"
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="c.jpg"\r\n\r\n'.encode()
        + cat
        + b"\0" * 2_000_000
        + f"\r\n--{boundary}--\r\n".encode()
    )
    with running(WEB_CONCURRENCY=1, TMPDIR=missing) as (port, _):
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        assert request(port, "POST", "/predict", body, **headers)[0] == 200
