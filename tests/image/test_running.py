"""The running container under Cloud Run's limits: answers, start, stop, memory, logs."""

import io
import json
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException

import pytest
from PIL import Image

from app import image_formats
from tests.image.container import engine, inspect, running, until

MIB = 1024 * 1024


def encoded(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def test_page_and_all_its_links_are_200(served):
    status, headers, page = served.request("GET", "/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    links = {link.decode() for link in re.findall(rb'(?:src|href)="((?:assets|samples)/[^"]+)"', page)}
    assert any(link.startswith("samples/") for link in links)
    assert {served.request("GET", f"/{link}")[0] for link in links} == {200}


def test_sample_images_get_their_expected_labels(served, card):
    for sample in card["samples"]:
        photo = served.request("GET", f"/{sample['file']}")[2]
        status, body = served.predict(photo)
        (found,) = body["predictions"]
        assert status == 200
        assert found["label"] == sample["expected"]["label"]
        assert found["probability"] == pytest.approx(sample["expected"]["probability"], abs=0.05)


@pytest.mark.parametrize("form", [known.name for known in image_formats.FORMATS])
def test_every_format_is_decoded_without_the_removed_parts_of_pillow(served, photo, form):
    converted = encoded(Image.open(io.BytesIO(photo)).convert("RGB"), form)
    assert served.predict(converted)[0] == 200


def test_heatmap_is_drawn_without_the_removed_parts_of_numpy(served, photo):
    status, body = served.predict(photo, "?explain=1")
    assert status == 200
    assert body["predictions"][0]["heatmap"].startswith("data:image/png;base64,")


@pytest.mark.parametrize(
    ("status", "body"),
    [(413, b"\xff\xd8" + bytes(21 * MIB)), (415, b"%PDF-1.7"), (422, b"\xff\xd8\xff\xe0 cut short")],
)
def test_unusable_upload_is_a_problem(served, status, body):
    found, headers, answer = served.request("POST", "/predict", body)
    assert (found, headers["Content-Type"]) == (status, "application/problem+json")
    assert json.loads(answer)["status"] == status


def test_process_has_no_capabilities_and_cannot_gain_any(served):
    status = dict(
        line.split(":\t", 1) for line in served.execute("cat", "/proc/1/status").splitlines() if ":\t" in line
    )
    assert set(status["Uid"].split()) == {"65532"}
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"] == "1"


def test_health_check_fails_without_a_server(served):
    kind, *check = inspect(served.name)["Config"]["Healthcheck"]["Test"]
    assert kind == "CMD"
    served.execute(*check)
    assert engine("exec", "--env=PORT=1", served.name, *check, check=False).returncode == 1


def test_no_file_is_written(image, photo):
    with running(image) as container:
        container.wait_ready()
        assert container.predict(photo)[0] == 200
        changed = [
            line for line in engine("diff", container.name).stdout.splitlines() if line[:2] in ("A ", "C ", "D ")
        ]
        mounts = {"/dev", "/etc", "/proc", "/run", "/sys", "/tmp", "/var"}  # the engine's own
        assert not [line for line in changed if "/" + line[2:].split("/")[1] not in mounts]
        assert container.execute("find", "/tmp", "/dev/shm", "-type", "f") == ""


@pytest.mark.parametrize(("cpus", "seconds"), [(1, 0.6), (0.5, 2)])
def test_start_is_fast(image, cpus, seconds):
    starts = []
    for _ in range(5):  # the best of five, because the machine may be busy
        with running(image, cpus=cpus) as container:
            container.wait_ready()
            starts.append(time.clock_gettime(time.CLOCK_BOOTTIME) - container.started())
    assert min(starts) <= seconds, starts


@pytest.mark.parametrize(("cpus", "workers"), [(0.5, 1), (1, 1), (1.5, 2)])
def test_one_worker_for_each_granted_cpu(image, cpus, workers):
    with running(image, cpus=cpus) as container:
        settings = container.execute("gunicorn", "--print-config")  # with the settings of this container
    assert re.search(r"^workers +=\s+(\d+)$", settings, re.MULTILINE)[1] == str(workers)


def test_log_is_json_on_stdout(image, photo):
    with running(image) as container:
        container.wait_ready()
        container.predict(photo)
        container.stop()
        stdout, stderr = container.logs()
    entries = [json.loads(line) for line in stdout]
    assert all({"severity", "message", "time"} <= entry.keys() for entry in entries)
    assert "POST" in [entry["httpRequest"]["requestMethod"] for entry in entries if "httpRequest" in entry]
    assert not [line for line in stderr if "XNNPACK" not in line]  # LiteRT prints it


def test_request_in_flight_is_answered_after_sigterm(image, photo):
    with running(image) as container:
        container.wait_ready()
        head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: {len(photo)}\r\n"
        with socket.create_connection(("127.0.0.1", container.port), timeout=20) as client:
            client.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
            answer = client.makefile("rb")
            assert b" 100 " in answer.readline()  # a worker has read the request
            engine("kill", "--signal", "TERM", container.name)
            until(lambda: any("Handling signal: term" in line for line in container.logs()[0]))
            client.sendall(photo)
            assert answer.readline() == b"\r\n"
            assert b" 200 " in answer.readline()
        until(lambda: inspect(container.name)["State"]["Status"] == "exited")
        assert inspect(container.name)["State"]["ExitCode"] == 0


def test_idle_server_stops_at_once(image):
    with running(image) as container:
        container.wait_ready()
        started = time.monotonic()
        assert container.stop() == 0
        assert time.monotonic() - started < 5


def test_largest_images_fit_into_256_mb(image):
    """The formats that need most memory, except WebP, at their limit: MAX_PIXELS (50 megapixels), or a third of it."""
    large, small = (8000, 6250), (4082, 4082)
    photos = [
        encoded(Image.new("RGB", large, "teal"), "JPEG"),
        encoded(Image.new("RGB", small, "teal"), "JPEG", progressive=True),
        encoded(Image.new("RGBA", small, "teal"), "PNG"),
        encoded(Image.new("I;16", small), "PNG"),
        encoded(Image.new("CMYK", small), "TIFF", compression="tiff_lzw"),
    ]
    with running(image) as container:
        container.wait_ready()
        assert [container.predict(photo)[0] for photo in photos] == [200] * len(photos)
        assert not [line for line in container.logs()[0] if "SIGKILL" in line]


@pytest.mark.parametrize("path", ["/predict", "/"])
def test_many_large_images_at_once_are_200_or_503_and_fit_into_256_mb(image, path):
    photo = encoded(Image.new("RGBA", (4082, 4082), "teal"), "PNG")
    form = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + photo + b"\r\n--b--\r\n"
    with running(image) as container, ThreadPoolExecutor(12) as clients:
        container.wait_ready()
        sent = [
            clients.submit(container.request, "POST", path, form, "multipart/form-data; boundary=b") for _ in range(24)
        ]
        assert {answer.result()[0] for answer in sent} == {200, 503}
        assert not [line for line in container.logs()[0] if "SIGKILL" in line]
        status = container.execute("sh", "-c", "cat /proc/[1-9]*/status")
        assert max(map(int, re.findall(r"VmRSS:\s+(\d+) kB", status))) < 150_000  # the memory was released


def test_worker_that_exceeds_the_memory_limit_is_replaced(image, photo):
    """The kernel kills the process that exceeds the limit, which is a worker and not the server."""
    huge = encoded(Image.new("RGBA", (16000, 16000)), "PNG")  # 1 GB of pixels
    with running(image, MAX_PIXELS=1_000_000_000) as container:
        container.wait_ready()
        with pytest.raises((OSError, HTTPException)):
            container.predict(huge)
        until(container.is_ready)
        assert container.predict(photo)[0] == 200
        assert any("SIGKILL" in line for line in container.logs()[0])


@pytest.mark.parametrize("settings", [{"MODEL": "model/nowhere"}, {"MAX_IMAGES": "none"}])
def test_invalid_setting_exits_with_2_and_one_line(image, settings):
    with running(image, **settings) as container:
        until(lambda: inspect(container.name)["State"]["Status"] == "exited")
        assert inspect(container.name)["State"]["ExitCode"] == 2
        stdout, stderr = container.logs()
        assert len(stdout + stderr) == 1
        assert next(iter(settings.values())) in (stdout + stderr)[0]
