"""Fixtures for the deploy scripts: a checkout to run them in, the real gcloud, and a simulated Google Cloud.

    checkout     a copy of this project with settings; a test runs scripts in it: `checkout.run("deploy/gke/deploy.sh")`
    cloud        the simulated project, new for every test (simulator/)
    deployed     `deployed("gke", PUBLIC="true")` puts the project into the state after a first deployment

A test that needs a program which is missing is skipped and says so; it fails if CI is set (tests/requirements.py).
FAST_GCLOUD=0 in the environment runs every gcloud command as its own process (fast_gcloud.py).
"""

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

from tests.requirements import requires

from .simulator import Cloud
from .simulator.proxy import make_certificates
from .simulator.workloads import Workloads

ROOT = Path(__file__).parents[2]
PROJECT = "quintet-staging"
INVOKER = f"tester@{PROJECT}.iam.gserviceaccount.com"


@dataclass
class Outcome:
    """What a script printed and how it ended."""

    code: int
    out: str
    err: str

    def __str__(self) -> str:
        return f"exit {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


class Checkout:
    """A git checkout of the project with settings, in which scripts run against the simulated cloud."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment

    def git(self, *words: str) -> str:
        identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
        command = ["git", "-C", str(self.folder), *identity, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def settings(self, env: str = "staging", **changes: str | int | None) -> None:
        """Write deploy/<env>.env: the committed example with changes; None removes a line."""
        text = (self.folder / f"deploy/{env}.env.example").read_text()
        for name, value in {"PROJECT": PROJECT, "INVOKER": INVOKER, **changes}.items():
            line = "" if value is None else f"{name}={value}\n"
            text = re.sub(rf"^{name}=.*\n", "", text, flags=re.M) + line
        (self.folder / f"deploy/{env}.env").write_text(text)

    def new_commit(self) -> None:
        """Commit a change of the app that does not change its behaviour."""
        with (self.folder / "app/__init__.py").open("a") as file:
            file.write("# changed\n")
        self.git("commit", "-qam", "Change")

    def reset(self) -> None:
        self.git("reset", "-q", "--hard", "first")
        self.git("clean", "-qfdx")
        self.settings()
        for name in (
            "model/imagenet/model.keras",
            "app/__pycache__/wsgi.pyc",
        ):  # a training and a local run leave these
            (self.folder / name).parent.mkdir(exist_ok=True)
            (self.folder / name).write_bytes(b"left behind")

    def run(self, *command: str, answer: str = "", **environment: str) -> Outcome:
        """Run a command in the checkout; `answer` is its standard input, `environment` is added to the variables."""
        process = subprocess.run(
            command,
            cwd=self.folder,
            env={**self.environment, **environment},
            input=answer,
            capture_output=True,
            text=True,
            timeout=300,
        )
        return Outcome(process.returncode, process.stdout, process.stderr)


@pytest.fixture(scope="session")
def cloud_and_checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cloud, Checkout]]:
    """One simulator and one checkout for all tests; `cloud` and `checkout` reset them for each test."""
    requires("gcloud", "kubectl", "openssl", "git", "curl")
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
        "TUNNEL_LIMIT": "10",
        "PROPAGATION_LIMIT": "120",
        "PROPAGATION_INTERVAL": "0.2",
        "TRANSIENT_LIMIT": "30",
        "TRANSIENT_INTERVAL": "0.2",
        "REMOVAL_LIMIT": "30",
        "REMOVAL_INTERVAL": "0.2",
    }
    with fast_gcloud(home, environment) as variables:
        checkout = Checkout(home / "checkout", environment | variables)
        copy_project(checkout)
        yield cloud, checkout
    cloud.close()
    workloads.close()


@contextmanager
def fast_gcloud(home: Path, environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """Start the server of fast_gcloud.py; yield the variables with which gcloud uses it. FAST_GCLOUD=0: do nothing."""
    if os.environ.get("FAST_GCLOUD") == "0":
        yield {}
        return
    code, socket, client = Path(__file__).with_name("fast_gcloud.py"), home / "gcloud.sock", home / "gcloud-python"
    info = ["gcloud", "info", '--format=value[separator="\n"](basic.python_location,installation.sdk_root)']
    installation = subprocess.run(info, env=environment, check=True, capture_output=True, text=True).stdout
    python, root = installation.split()
    client.write_text(f'#!/bin/sh\nexec {sys.executable} -IS {code} "$@"\n')
    client.chmod(0o755)
    serve = [python, "-B", code, "--serve", socket, f"{root}/lib"]
    with subprocess.Popen(serve, env=environment, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout.readline() == "ready\n"
        yield {"CLOUDSDK_PYTHON": str(client), "FAST_GCLOUD_SOCKET": str(socket)}
        server.terminate()


def copy_project(checkout: Checkout) -> None:
    """Copy all files of this project that git does not ignore, and make them a repository with one commit."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (checkout.folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, checkout.folder / name)
    checkout.git("init", "-q")
    checkout.git("add", "-A")
    checkout.git("commit", "-qm", "First")
    checkout.git("tag", "first")


@pytest.fixture
def checkout(cloud_and_checkout: tuple[Cloud, Checkout]) -> Checkout:
    """The checkout at its first commit, with the settings of the committed example."""
    checkout = cloud_and_checkout[1]
    checkout.reset()
    return checkout


@pytest.fixture(scope="session")
def new_project(cloud_and_checkout: tuple[Cloud, Checkout]) -> list[dict]:
    """The state of a new project."""
    return cloud_and_checkout[0].snapshot()


@pytest.fixture
def cloud(cloud_and_checkout: tuple[Cloud, Checkout], new_project: list[dict]) -> Iterator[Cloud]:
    """A new project. A test fails if it made a request for which the simulator has no answer."""
    cloud = cloud_and_checkout[0]
    cloud.restore(new_project)
    yield cloud
    assert cloud.unsupported == []


class Deployments:
    """The first deployment to each target: run once, and its state restored for every test that starts from it.

    A call returns the script's outcome, and leaves in `changes` and `requests` what the deployment sent.
    """

    def __init__(self, cloud: Cloud, checkout: Checkout) -> None:
        self.cloud, self.checkout = cloud, checkout
        self.saved: dict[str, tuple[Outcome, list[str], list[str], list[dict]]] = {}

    def __call__(self, target: str, **settings: str | int) -> Outcome:
        key = f"{target} {settings}"
        self.checkout.settings(**settings)
        if key not in self.saved:
            outcome = self.checkout.run(f"deploy/{target}/deploy.sh")
            assert outcome.code == 0, outcome
            self.saved[key] = (outcome, self.cloud.changes(), [*self.cloud.frontend.requests], self.cloud.snapshot())
        outcome, self.changes, self.requests, state = self.saved[key]
        self.cloud.restore(state)
        return outcome


@pytest.fixture(scope="session")
def deployments(cloud_and_checkout: tuple[Cloud, Checkout]) -> Deployments:
    return Deployments(*cloud_and_checkout)


@pytest.fixture
def deployed(deployments: Deployments, cloud: Cloud, checkout: Checkout) -> Deployments:  # noqa: ARG001 - resets both
    return deployments
