"""What was uploaded to App Engine, run by Google's development server: app.yaml, its handlers and entry point."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ports import free_port

from .conftest import ROOT, Deployments
from .simulator import Cloud
from .test_gae import OPEN, candidate


@pytest.fixture
def url(deployed: Deployments, cloud: Cloud, tmp_path: Path) -> Iterator[str]:
    deployed("gae", **OPEN)
    for name, content in cloud.appengine.files(candidate(cloud)).items():
        (tmp_path / "app" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "app" / name).write_bytes(content)
    sdk = Path(shutil.which("gcloud")).resolve().parents[1]
    port, admin, api = free_port(), free_port(), free_port()
    command = [
        sdk / "platform/bundledpythonunix/bin/python3",
        sdk / "bin/dev_appserver.py",
        *("--application=demo", "--skip_sdk_update_check=yes", "--max_module_instances=1", "--host=127.0.0.1"),
        *(f"--port={port}", f"--admin_port={admin}", f"--api_port={api}", f"--storage_path={tmp_path / 'storage'}"),
        f"--python_virtualenv_path={tmp_path / 'venv'}",
        tmp_path / "app/app.yaml",
    ]
    with (tmp_path / "log.txt").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=dict(os.environ), start_new_session=True)
    try:
        wait_for(port, server, tmp_path / "log.txt")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(20)


def wait_for(port: int, server: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + 180
    while time.monotonic() < end and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    pytest.fail(f"dev_appserver did not start: {log.read_text()[-3000:]}")


def fetch(url: str, body: bytes | None = None, kind: str = "") -> tuple[int, str, bytes]:
    request = urllib.request.Request(url, body, {"Content-Type": kind} if kind else {})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return answer.status, answer.headers.get_content_type(), answer.read()


def test_page_assets_and_a_photo(url: str) -> None:
    assert fetch(f"{url}/_ah/warmup")[0] == 200  # the first request installs the requirements and starts gunicorn
    card = json.loads(fetch(f"{url}/model")[2])
    picture = (ROOT / "model/imagenet" / card["samples"][0]["file"]).read_bytes()
    expected = card["samples"][0]["expected"]["label"]
    answer = json.loads(fetch(f"{url}/predict", picture, "image/jpeg")[2])
    assert answer["predictions"][0]["label"] == expected
    form = b'--b\r\nContent-Disposition: form-data; name="file"; filename="p.jpg"\r\n\r\n%b\r\n--b--\r\n' % picture
    assert expected.encode() in fetch(f"{url}/", form, "multipart/form-data; boundary=b")[2]
    assert fetch(f"{url}/assets/page.css")[:2] == (200, "text/css")
    with pytest.raises(urllib.error.HTTPError, match="404") as refused:
        fetch(f"{url}/nothing-here")
    refused.value.close()
