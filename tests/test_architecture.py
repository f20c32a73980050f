"""Rules of the code's structure: who may import what, and what the documentation lists."""

import ast
import re
import subprocess
import sys

import pytest
from PIL import Image

from app import image_formats
from app.config import Config
from tests.conftest import ROOT
from training import image_folder

DESIGN = (ROOT / "docs" / "design.md").read_text("utf-8")


def imported(path):
    """The dotted names of all modules that the file imports, at the top or inside a function."""
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


def test_app_does_not_import_training():
    assert importers("app", "training", "train", "tensorflow", "keras", "matplotlib") == []


def test_training_imports_only_images_and_bundle_of_the_app():
    allowed = {"app", "app.images", "app.bundle"}
    names = [
        name
        for path in [ROOT / "train.py", *(ROOT / "training").rglob("*.py")]
        for name in imported(path)
        if name.split(".")[0] == "app" and ".".join(name.split(".")[:2]) not in allowed
    ]
    assert names == []


@pytest.mark.parametrize("module", ["classifier", "images", "image_formats", "heatmaps", "bundle", "config", "pool"])
def test_module_is_independent_of_the_web_framework(module):
    assert [
        name for name in imported(ROOT / "app" / f"{module}.py") if name.split(".")[0] in ("flask", "werkzeug")
    ] == []


@pytest.mark.parametrize("folder", ["app", "training"])
def test_nothing_imports_deploy(folder):
    assert importers(folder, "deploy") == []


def test_running_app_has_not_loaded_tensorflow():
    code = "import sys, app.wsgi; print([m for m in ('tensorflow', 'keras', 'training') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip().endswith("[]")


def test_documented_endpoints_are_those_of_the_app(app):
    """docs/design.md has a table whose rows begin with "| `GET /path` |", with the path as Flask writes it."""
    rows = re.findall(r"^\| ((?:`[A-Z]+ /\S*`(?:, )?)+) \|", DESIGN, re.MULTILINE)
    documented = [tuple(endpoint.split()) for row in rows for endpoint in re.findall(r"`(.*?)`", row)]
    served = [(method, rule.rule) for rule in app.url_map.iter_rules() for method in rule.methods - {"HEAD", "OPTIONS"}]
    assert sorted(documented) == sorted(served)


def test_documented_folders_and_modules_exist():
    """docs/design.md has a tree, a block of lines "path  description", and names modules by their path in the text."""
    (tree,) = re.findall(r"^```text\n(train\.py .*?)^```", DESIGN, re.DOTALL | re.MULTILINE)
    paths = [re.split(r"  +", line)[0] for line in tree.splitlines()]
    assert {"app/", "training/", "deploy/"} <= set(paths)
    paths += re.findall(r"\b(?:app|training|deploy|docker|bench|tests)/[\w/<>-]*(?:\.(?:py|sh|yaml|html|js))?", DESIGN)
    assert [path for path in paths if not list(ROOT.glob(re.sub(r"<.*?>", "*", path)))] == []


FORMAT_NAMES = "|".join([*(known.name for known in image_formats.FORMATS), "HEIC", "AVIF"])
LISTED_FORMATS = re.compile(rf"(?:\b(?:{FORMAT_NAMES})\b(?:, | or |, or |, and )?){{3,}}")


@pytest.mark.parametrize("page", ["README.md", *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/*.md"))])
def test_documented_image_formats_are_those_of_the_app(page):
    found = {match[0] for match in LISTED_FORMATS.finditer((ROOT / page).read_text("utf-8"))}
    assert found <= {image_formats.NAMES}
    assert found or page != "README.md"


@pytest.mark.parametrize("page", ["README.md", "docs/design.md"])
def test_settings_table_has_every_setting_with_its_default(page):
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| (.*?) \|", (ROOT / page).read_text("utf-8"), re.MULTILINE))
    assert "CPUs" in rows.pop("WEB_CONCURRENCY")  # the default depends on the machine
    documented = {name.lower(): value.strip("`").replace(",", "") for name, value in rows.items()}
    assert documented == {name: str(value) for name, value in vars(Config()).items() if name != "web_concurrency"}


def test_training_finds_files_of_every_image_format():
    formats = {Image.registered_extensions().get(suffix) for suffix in image_folder.SUFFIXES}
    assert formats == {known.name.upper() for known in image_formats.FORMATS}


def test_page_accepts_the_image_formats_of_the_app(client):
    page = client.get("/").text
    accepted = re.search(r'id="file"[^>]* accept="([^"]*)"', page)[1].split(",")
    assert accepted == [f"image/{known.name.lower()}" for known in image_formats.FORMATS]
    assert image_formats.NAMES in page
