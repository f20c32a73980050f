"""The contents of the image, its size, and that the same files always give the same layers."""

import gzip
import json
import os
import re
import subprocess
import tarfile

import pytest

from tests.image.container import ROOT, build, engine, inspect, layers, running

MB = 1_000_000


@pytest.fixture(scope="module")
def config(image):
    return inspect(image)["Config"]


@pytest.fixture(scope="module")
def sizes(image, tmp_path_factory):
    """[(uncompressed, compressed as pushed)] of the layers on top of the base, in bytes."""
    saved = tmp_path_factory.mktemp("saved") / "image.tar"
    engine("save", "--output", str(saved), image)
    with tarfile.open(saved) as archive:
        (manifest,) = json.load(archive.extractfile("manifest.json"))
        blobs = [archive.extractfile(name).read() for name in manifest["Layers"][-len(layers(image)) :]]
    plain = [gzip.decompress(blob) if blob.startswith(b"\x1f\x8b") else blob for blob in blobs]
    return [(len(blob), len(gzip.compress(blob, 6))) for blob in plain]


def test_layers_over_the_base_are_small(sizes):
    assert sum(plain for plain, _ in sizes) <= 150 * MB
    assert sum(compressed for _, compressed in sizes) <= 55 * MB


def test_new_code_pushes_less_than_250_kb(sizes):
    _, compressed = sizes[-1]
    assert compressed <= MB / 4


def test_user_is_a_number_other_than_root(config):
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", config["User"])


def test_labels_have_version_revision_and_licence(config):
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in config["Labels"].items()}
    assert labels["title"] == "quintet"
    assert labels["licenses"] == "Apache-2.0"
    assert re.fullmatch(r"\d+\.\d+\.\d+", labels["version"])
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=ROOT, text=True).strip()
    assert labels["revision"].removesuffix("-dirty") == head


def test_stop_signal_is_sigterm(config):
    assert config["StopSignal"] in ("SIGTERM", "15")


def test_every_imported_module_has_bytecode(served):
    """Including the standard library: the official image has none, and a read-only root cannot store any."""
    code = """
import sys, os, gunicorn.app.wsgiapp, app.worker, app.wsgi
specs = [module.__spec__ for module in list(sys.modules.values()) if getattr(module, "__spec__", None)]
print(*(s.origin for s in specs if (s.origin or "").endswith(".py") and not os.path.exists(s.cached)))
print(*{s.cached.split("/")[2] for s in specs if s.cached})
"""
    missing, trees = served.execute("python", "-c", code).splitlines()
    assert missing == ""
    assert trees == "bytecode"  # /opt/bytecode, not the base image's, which other base images may lack


def test_tools_training_packages_and_weights_are_not_in_the_image(served):
    tools = "for name in pip pip3 cc gcc make git curl wget; do command -v $name; done; true"
    assert served.execute("sh", "-c", tools) == ""
    assert served.execute("ls", "/app").split() == ["app", "gunicorn.conf.py", "model"]
    listed = "import importlib.metadata as m; print(*(d.name for d in m.distributions()))"
    packages = served.execute("python", "-c", listed).lower().split()
    assert "flask" in packages
    assert not {"pip", "tensorflow", "tensorflow-cpu", "keras", "pytest", "protobuf"} & set(packages)
    assert "model.keras" not in served.execute("find", "/app/model")


def test_every_pattern_of_unused_files_matches_something():
    """A pattern that matches nothing can be removed. .venv has everything that pip installs."""
    (site,) = (ROOT / ".venv" / "lib").glob("python3*/site-packages")
    lines = (ROOT / "docker" / "unused-files.txt").read_text().splitlines()
    patterns = [pattern for line in lines for pattern in line.split("#")[0].split()]
    assert patterns
    stale = [pattern for pattern in patterns if not pattern.startswith("..") and not list(site.glob(pattern))]
    assert not stale


def test_same_files_give_the_same_layers(image, checkout):
    """Built without the cache, from a checkout with other dates and another umask."""
    again = build("quintet:again", "--no-cache", folder=checkout)
    assert layers(again) == layers(image)


def test_build_argument_model_selects_the_bundle(checkout):
    other = build("quintet:other", folder=checkout, MODEL="model/other")
    with running(other) as container:
        container.wait_ready()
        assert json.loads(container.request("GET", "/model")[2])["name"] == "other"
        assert container.execute("ls", "model").split() == ["other"]


def test_sbom_lists_exactly_the_installed_packages(image, tmp_path):
    target = tmp_path / "sbom.json"
    subprocess.run([ROOT / "docker" / "sbom.sh", target], env={**os.environ, "IMAGE": image}, check=True, cwd=tmp_path)
    sbom = json.loads(target.read_bytes())
    assert sbom["bomFormat"] == "CycloneDX"
    listed = {entry["name"].lower().replace("_", "-"): entry["version"] for entry in sbom["components"]}
    assert {"ai-edge-litert", "flask", "gunicorn", "numpy", "pillow", "werkzeug"} <= listed.keys()
    assert not {"pip", "protobuf", "tqdm"} & listed.keys()
    requirements = (ROOT / "requirements.txt").read_text()
    assert all(f"{name}=={version}" in requirements for name, version in listed.items())
