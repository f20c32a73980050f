"""The walls between the rooms, read from the imports themselves."""

import ast
import subprocess
import sys

import pytest

from tests.conftest import ROOT


def imported(path):
    """The dotted names of all modules that the file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: absolute imports only"
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def importers(folder, *forbidden):
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for name in imported(path)
        if any(name == one or name.startswith(one + ".") for one in forbidden)
    ]


def test_serving_never_imports_training():
    assert importers("app", "training", "train", "tensorflow", "keras", "matplotlib") == []


def test_training_imports_only_pictures_and_bundles_of_the_app():
    allowed = {"app", "app.images", "app.bundle"}
    names = [
        name
        for path in [ROOT / "train.py", *(ROOT / "training").rglob("*.py")]
        for name in imported(path)
        if name.split(".")[0] == "app" and ".".join(name.split(".")[:2]) not in allowed
    ]
    assert names == []


@pytest.mark.parametrize("module", ["classifier", "images", "bundle", "config"])
def test_the_core_knows_no_web_framework(module):
    assert [
        name for name in imported(ROOT / "app" / f"{module}.py") if name.split(".")[0] in ("flask", "werkzeug")
    ] == []


@pytest.mark.parametrize("folder", ["app", "training"])
def test_nothing_imports_deploy(folder):
    assert importers(folder, "deploy") == []


def test_a_running_app_has_not_loaded_tensorflow():
    code = "import sys, app.wsgi; print([m for m in ('tensorflow', 'keras', 'training') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip().endswith("[]")
