"""Where the deploy scripts are run: a checkout of their own, the real gcloud, and Google simulated on loopback."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from .simulator import Cloud
from .simulator.proxy import make_certificates
from .simulator.workloads import Workloads

ROOT = Path(__file__).parents[2]
PROJECT = "quintet-staging"
INVOKER = f"tester@{PROJECT}.iam.gserviceaccount.com"


def pytest_configure() -> None:
    if shutil.which("gcloud") is None:
        pytest.exit(
            "tests/deploy runs the real gcloud, and it is not on PATH: https://cloud.google.com/sdk/docs/install", 1
        )


@dataclass
class Outcome:
    """What a script printed and how it ended."""

    code: int
    out: str
    err: str

    def __str__(self) -> str:
        return f"exit {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


class Workplace:
    """A checkout of the project with settings, in which scripts run against the simulated cloud."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment

    def git(self, *words: str) -> str:
        identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
        command = ["git", "-C", str(self.folder), *identity, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def settings(self, env: str = "staging", **changes: str | int | None) -> None:
        """Write deploy/<env>.env: the committed example with changes; None takes a line out."""
        text = (self.folder / f"deploy/{env}.env.example").read_text()
        for name, value in {"PROJECT": PROJECT, "INVOKER": INVOKER, **changes}.items():
            line = "" if value is None else f"{name}={value}\n"
            text = re.sub(rf"^{name}=.*\n", "", text, flags=re.M) + line
        (self.folder / f"deploy/{env}.env").write_text(text)

    def new_commit(self) -> None:
        """A new version of the app: the same behaviour, another commit."""
        with (self.folder / "app/__init__.py").open("a") as file:
            file.write("# changed\n")
        self.git("commit", "-qam", "Change")

    def reset(self) -> None:
        self.git("reset", "-q", "--hard", "first")
        self.git("clean", "-qfdx")
        self.settings()

    def run(self, *command: str, answer: str = "", **environment: str) -> Outcome:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**self.environment, **environment},
            input=answer,
            capture_output=True,
            text=True,
            timeout=300,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def cloud_and_workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cloud, Workplace]]:
    home = tmp_path_factory.mktemp("deploy")
    authority = make_certificates(home)
    workloads = Workloads(home / "workloads", [ROOT / ".venv/bin", Path(sys.executable).parent])
    cloud = Cloud(PROJECT, home, workloads)
    (home / "token").write_text("an access token")
    address = f"http://127.0.0.1:{cloud.proxy.server_address[1]}"
    proxies = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
    trust = (
        "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "HTTPLIB2_CA_CERTS",
        "SSL_CERT_FILE",
    )
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        **dict.fromkeys(proxies, address),
        **dict.fromkeys(trust, str(authority)),
        "no_proxy": "127.0.0.1,localhost",
        "NO_PROXY": "127.0.0.1,localhost",
        "CLOUDSDK_CONFIG": str(home / "gcloud"),
        "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(home / "token"),
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_CORE_CHECK_GCE_METADATA": "0",
        "NO_GCE_CHECK": "true",
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "1",
        "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "1",
        "CLOUDSDK_SURVEY_DISABLE_PROMPTS": "1",
        "SMOKE_LIMIT": "5",
        "BALANCER_LIMIT": "5",
        "PROPAGATION_LIMIT": "20",
        "PROPAGATION_INTERVAL": "0.2",
        "TRANSIENT_LIMIT": "20",
        "TRANSIENT_INTERVAL": "0.2",
    }
    with fast_gcloud(home, environment) as quick:
        workplace = Workplace(home / "checkout", environment | quick)
        check_out(workplace)
        yield cloud, workplace
    cloud.close()
    workloads.close()


@contextmanager
def fast_gcloud(home: Path, environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """What the environment needs so that the installed gcloud starts at once (fast_gcloud.py)."""
    code, socket, client = Path(__file__).with_name("fast_gcloud.py"), home / "gcloud.sock", home / "gcloud-python"
    where = ["gcloud", "info", '--format=value[separator="\n"](basic.python_location,installation.sdk_root)']
    told = subprocess.run(where, env=environment, check=True, capture_output=True, text=True).stdout
    python, root = told.split()
    client.write_text(f'#!/bin/sh\nexec {sys.executable} -IS {code} "$@"\n')
    client.chmod(0o755)
    serve = [python, "-B", code, "--serve", socket, f"{root}/lib"]
    with subprocess.Popen(serve, env=environment, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout.readline() == "ready\n"
        yield {"CLOUDSDK_PYTHON": str(client), "FAST_GCLOUD": str(socket)}
        server.terminate()


def check_out(workplace: Workplace) -> None:
    """Copy what git knows or would know of this project, and make it a repository with one commit."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (workplace.folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, workplace.folder / name)
    workplace.git("init", "-q")
    workplace.git("add", "-A")
    workplace.git("commit", "-qm", "First")
    workplace.git("tag", "first")


@pytest.fixture
def workplace(cloud_and_workplace: tuple[Cloud, Workplace]) -> Workplace:
    place = cloud_and_workplace[1]
    place.reset()
    return place


@pytest.fixture(scope="session")
def nothing(cloud_and_workplace: tuple[Cloud, Workplace]) -> list[dict]:
    """The state of a new project."""
    return cloud_and_workplace[0].snapshot()


@pytest.fixture
def cloud(cloud_and_workplace: tuple[Cloud, Workplace], nothing: list[dict]) -> Iterator[Cloud]:
    """A new project. No test may end with a request that the simulator could not answer."""
    cloud = cloud_and_workplace[0]
    cloud.restore(nothing)
    yield cloud
    assert cloud.unanswered == []


class Deployments:
    """The first deployment to each target, made once and put back for every test that starts from there."""

    def __init__(self, cloud: Cloud, workplace: Workplace) -> None:
        self.cloud, self.workplace = cloud, workplace
        self.made: dict[str, tuple[Outcome, list[str], list[str], list[dict]]] = {}

    def __call__(self, target: str, **settings: str | int) -> Outcome:
        key = f"{target} {settings}"
        self.workplace.settings(**settings)
        if key not in self.made:
            outcome = self.workplace.run(f"deploy/{target}/deploy.sh")
            assert outcome.code == 0, outcome
            self.made[key] = (outcome, self.cloud.changes(), [*self.cloud.frontend.requests], self.cloud.snapshot())
        outcome, self.changes, self.requests, state = self.made[key]
        self.cloud.restore(state)
        return outcome


@pytest.fixture(scope="session")
def deployments(cloud_and_workplace: tuple[Cloud, Workplace]) -> Deployments:
    return Deployments(*cloud_and_workplace)


@pytest.fixture
def deployed(deployments: Deployments, cloud: Cloud, workplace: Workplace) -> Deployments:  # noqa: ARG001 - both are made anew
    return deployments
