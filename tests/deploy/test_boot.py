"""deploy/gce's cloud-init.yaml: an instance boots with it, serves, and starts a killed app again.

The instance is a container in which systemd and cloud-init really boot. Docker is the machine's own container engine,
by its socket; Google's credential helper, which only Container-Optimized OS has, is a stand-in that notes what it is
asked.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.image.container import build, engine, inspect, until
from tests.ports import free_port

from .test_pods import get

ROOT = Path(__file__).parents[2]
SYSTEM = "localhost/quintet-instance"
PACKAGES = "systemd-sysv,dbus,cloud-init,iptables"
CREDENTIALS = '#!/bin/sh\necho "$HOME $*" >>/run/credentials.log\n'


def render(image: str) -> str:
    """cloud-init.yaml as deploy.sh fills it in."""
    script = (
        "source deploy/lib/shell.sh; render deploy/gce/cloud-init.yaml REGISTRY=europe-west1-docker.pkg.dev IMAGE=$1"
    )
    done = subprocess.run(["bash", "-c", script, "bash", image], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An operating system with systemd and cloud-init, made once on a machine: about a minute."""
    if engine("image", "exists", SYSTEM, check=False).returncode:
        root = tmp_path_factory.mktemp("system") / "root.tar"
        include = [f"--include={PACKAGES}", "--variant=minbase", "--dpkgopt=path-exclude=/usr/share/doc/*"]
        subprocess.run(["mmdebstrap", "--quiet", *include, "bookworm", root], check=True)
        engine("import", "--change", 'CMD ["/sbin/init"]', str(root), SYSTEM)
    return SYSTEM


@pytest.fixture(scope="module")
def docker_socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    socket = tmp_path_factory.mktemp("docker") / "docker.sock"
    service = subprocess.Popen(["podman", "system", "service", "--time=0", f"unix://{socket}"])
    until(socket.exists)
    yield socket
    service.terminate()
    service.wait(10)


@pytest.fixture(scope="module")
def instance(system: str, docker_socket: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """A booted instance: its name, and the port here that its app has there."""
    digest = inspect(build("quintet:test"))["Digest"]
    port, seed = free_port(), tmp_path_factory.mktemp("seed")
    text = render(f"localhost/quintet@{digest}").replace("--publish=8080:8080", f"--publish=127.0.0.1:{port}:8080")
    (seed / "user-data").write_text(text)
    (seed / "meta-data").write_text("instance-id: test\n")
    (seed / "test.cfg").write_text("network: {config: disabled}\ndatasource_list: [NoCloud, None]\nlocale: C.UTF-8\n")
    helper = seed / "docker-credential-gcr"
    helper.write_text(CREDENTIALS)
    helper.chmod(0o755)
    (seed / "docker.service").write_text("[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n")
    mounts = {
        seed / "user-data": "/var/lib/cloud/seed/nocloud/user-data",
        seed / "meta-data": "/var/lib/cloud/seed/nocloud/meta-data",
        seed / "test.cfg": "/etc/cloud/cloud.cfg.d/99-test.cfg",
        helper: "/usr/bin/docker-credential-gcr",
        seed / "docker.service": "/etc/systemd/system/docker.service",
        Path(shutil.which("docker") or "/no/docker/client"): "/usr/bin/docker",
        docker_socket: "/var/run/docker.sock",
    }
    volumes = [f"--volume={here}:{there}" for here, there in mounts.items()]
    started = engine("run", "--detach", "--systemd=always", "--network=none", "--cap-add=NET_ADMIN", *volumes, system)
    name = started.stdout.strip()
    yield name, port
    engine("rm", "--force", "--time=0", name)
    engine("rm", "--force", "--time=0", "quintet", check=False)


def test_cloud_init_and_systemd_accept_the_file(system: str, tmp_path: Path) -> None:
    text = render("image@sha256:0")
    (tmp_path / "user-data").write_text(text)
    (unit,) = yaml.safe_load(text)["write_files"]
    unit = unit["content"].replace("Requires=docker.service\n", "")
    (tmp_path / "quintet.service").write_text(re.sub(r"/usr/bin/docker[\w-]*", "/bin/true", unit))
    inside = ["run", "--rm", "--network=none", f"--volume={tmp_path}:/given", system]
    assert "Valid" in engine(*inside, "cloud-init", "schema", "--config-file", "/given/user-data").stdout
    verified = engine(*inside, "systemd-analyze", "verify", "/given/quintet.service")
    assert "quintet.service" not in verified.stderr


def test_instance_boots_serves_and_restarts_a_killed_app(instance: tuple[str, int]) -> None:
    name, port = instance
    try:
        until(lambda: get(port, "/ready")[0] == 200, 60)
    except AssertionError:
        print(engine("exec", name, "journalctl", "--no-pager", "-n", "80", check=False).stdout)
        raise
    card = json.loads((ROOT / "model/imagenet/model.json").read_bytes())
    sample = card["samples"][0]
    _, answer = get(port, "/predict", (ROOT / "model/imagenet" / sample["file"]).read_bytes())
    assert json.loads(answer)["predictions"][0]["label"] == sample["expected"]["label"]

    state = inspect("quintet")
    assert state["HostConfig"]["ReadonlyRootfs"]
    assert state["EffectiveCaps"] in (None, [])
    assert "no-new-privileges" in str(state["HostConfig"]["SecurityOpt"])
    credentials = engine("exec", name, "cat", "/run/credentials.log").stdout
    assert credentials.startswith("/var/lib/quintet configure-docker --registries=europe-west1-docker.pkg.dev")
    rules = engine("exec", name, "iptables", "-S", "INPUT").stdout
    assert rules.count("--dport 8080 -j ACCEPT") == 1

    engine("kill", "--signal=KILL", "quintet")
    until(lambda: get(port, "/ready")[0] != 200, 10)
    until(lambda: get(port, "/ready")[0] == 200, 30)
    rules = engine("exec", name, "iptables", "-S", "INPUT").stdout
    assert rules.count("--dport 8080 -j ACCEPT") == 1  # the unit started twice, and did not add its rule twice
