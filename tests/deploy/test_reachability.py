"""A service that cannot be reached is told apart from one that gives wrong answers."""

import json
import os
import re
import shlex
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from .conftest import ROOT, Checkout, Deployments
from .simulator import Cloud

MAIN = "import sys; sys.path.insert(0, 'deploy'); import smoke; smoke.RECONNECT = 1; sys.exit(smoke.main())"
SMOKE = ("python3", "-c", MAIN)


@contextmanager
def service(answers: dict[str, tuple[int, str, bytes]]) -> Iterator[str]:
    """A service with these answers (status, content type, body); it closes the connection for any other path."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path not in answers:
                self.close_connection = True
                return
            status, content_type, body = answers[self.path]
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


READY = (200, "application/json", b"{}")
CARD = json.loads((ROOT / "model/imagenet/model.json").read_text())
MODEL = (200, "application/json", json.dumps({"name": CARD["name"], "version": CARD["version"]}).encode())


@pytest.mark.parametrize(
    ("answers", "code", "message"),
    [
        ({"/ready": (502, "text/html", b"Server Error")}, 3, "status 502: Server Error"),
        ({"/ready": (404, "text/plain", b"fault filter abort")}, 3, "status 404"),
        ({"/ready": (503, "application/problem+json", b"{}")}, 1, "status 503"),
        ({"/ready": (403, "text/html", b"Forbidden")}, 1, "status 403"),
        ({"/ready": READY, "/model": MODEL}, 1, "no response: Remote end closed connection"),
    ],
)
def test_exit_code_tells_unreachable_from_wrong(
    answers: dict[str, tuple[int, str, bytes]], code: int, message: str, checkout: Checkout
) -> None:
    with service(answers) as url:
        outcome = checkout.run(*SMOKE, url)
    assert outcome.code == code, outcome
    assert message in outcome.out


def test_other_content_type_is_an_error(checkout: Checkout) -> None:
    script = "import sys; sys.path.insert(0, 'deploy'); import smoke; smoke.fetch_ok(sys.argv[1], 'application/json')"
    with service({"/model": (200, "text/html", MODEL[2])}) as url:
        outcome = checkout.run("python3", "-c", script, f"{url}/model")
    assert outcome.code == 1
    assert "CheckError: content type text/html, expected application/json" in outcome.err


@pytest.mark.parametrize(
    "error",
    [
        "Unable to connect to the server: dial tcp 203.0.113.1:443: i/o timeout",
        "The connection to the server 203.0.113.1 was refused: dial tcp: connect: connection refused",
        "dial tcp: lookup quintet.gke.goog: no such host",
        "net/http: TLS handshake timeout",
        "requests.exceptions.ConnectionError: HTTPSConnectionPool: Max retries exceeded with url: /compute/v1",
        "('Connection aborted.', RemoteDisconnected('Remote end closed connection without response'))",
        "error: lost connection to pod",
    ],
)
def test_command_without_a_connection_says_nothing_about_the_release(error: str, checkout: Checkout) -> None:
    script = """
        source deploy/lib/shell.sh; source deploy/lib/access.sh; RELEASE=r
        echo "$1" >"$ERROR_FILE"
        check_connected
    """
    outcome = checkout.run("bash", "-euo", "pipefail", "-c", script, "bash", error)
    assert outcome.code == 1
    assert "could not reach Google from this machine" in outcome.err


def test_tunnel_that_is_open_and_passes_nothing_on_is_replaced(checkout: Checkout, tmp_path: Path) -> None:
    """kubectl can stay open after it has lost its pod (kubernetes/kubectl#686)."""
    tunnel = tmp_path / "tunnel.py"
    tunnel.write_text(
        "import http.server, pathlib, socket, sys\n"
        f"opened = pathlib.Path({str(tmp_path / 'opened')!r})\n"
        "with opened.open('a') as file: file.write('x')\n"
        "class Ready(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        if opened.read_text() == 'x': return\n"
        "        self.send_response(503)\n"
        "        self.send_header('Content-Type', 'application/json')\n"
        "        self.end_headers()\n"
        "http.server.HTTPServer(('localhost', int(sys.argv[1])), Ready).serve_forever()\n"
    )
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    script = f"""
        for file in shell propagation access network; do source deploy/lib/$file.sh; done
        MODEL=model/imagenet ADDRESS=10.8.0.2 RELEASE=r
        smoke_test_tunnel {port} python3 {tunnel} {port}
    """
    outcome = checkout.run("bash", "-euo", "pipefail", "-c", script, TUNNEL_LIMIT="3")
    assert outcome.code == 1, outcome  # the service itself says that it is not ready
    assert (tmp_path / "opened").read_text() == "xx"
    assert "Attempt 1 of 3 did not reach the service" in outcome.err
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("localhost", port), 1):
        pass  # the tunnel is closed


def test_tunnel_is_closed_when_the_script_ends_early(checkout: Checkout, tmp_path: Path) -> None:
    script = f"""
        for file in shell propagation access network; do source deploy/lib/$file.sh; done
        make_work_folder
        keep_open sh -c 'echo $$ >{tmp_path}/tunnel; exec sleep 100' &
        TUNNEL=$!
        echo $TUNNEL
        until [ -s {tmp_path}/tunnel ]; do sleep 0.1; done
        exit 1
    """
    outcome = checkout.run("bash", "-euo", "pipefail", "-c", script)
    assert outcome.code == 1, outcome
    for process in (outcome.out, (tmp_path / "tunnel").read_text()):
        with pytest.raises(ProcessLookupError):
            os.kill(int(process), 0)


def test_rollout_whose_end_cannot_be_seen_is_not_rolled_back(
    deployed: Deployments, cloud: Cloud, checkout: Checkout, tmp_path: Path
) -> None:
    deployed("gke", PUBLIC="true")
    checkout.new_commit()
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(
        '#!/bin/sh\ncase "$*" in\n*"rollout status"*)\n'
        'echo "Unable to connect to the server: net/http: TLS handshake timeout" >&2; exit 1 ;;\nesac\n'
        f'exec {shutil.which("kubectl")} "$@"\n'
    )
    kubectl.chmod(0o755)
    outcome = checkout.run("deploy/gke/deploy.sh", PATH=f"{tmp_path}:{checkout.environment['PATH']}")
    assert outcome.code == 1
    assert "Nothing was rolled back" in outcome.err
    head = checkout.git("rev-parse", "HEAD")[:7]
    assert cloud.kubernetes.serving()["metadata"]["labels"]["release"].startswith(head)


@pytest.mark.parametrize("target", ["gce", "gke"])
def test_printed_commands_reach_the_private_service_in_a_new_shell(
    target: str, deployed: Deployments, checkout: Checkout, tmp_path: Path
) -> None:
    """On the user's own machine: without the temporary folder of the deployment, and with port 8080."""
    outcome = deployed(target, PUBLIC="false")
    (tunnel,) = re.findall(r"keep this running:\n  (.+)\n", outcome.err)
    curl = outcome.out.strip().splitlines()[-1]
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    tunnel, curl = (re.sub(r"\b8080(:80\b| --zone|/predict)", rf"{port}\1", command) for command in (tunnel, curl))
    script = f"""
        ({tunnel}) >{shlex.quote(str(tmp_path))}/log 2>&1 &
        trap 'kill $(cat /proc/$!/task/$!/children) $!' EXIT
        for i in $(seq 100); do if curl -sf localhost:{port}/ready >/dev/null; then break; fi; sleep 0.3; done
        {curl}
    """
    answer = checkout.run("bash", "-c", script, KUBECONFIG=str(tmp_path / "kubeconfig"))
    assert json.loads(answer.out)["predictions"][0]["label"], answer
