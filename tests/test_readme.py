"""Every command of README.md, in order, in a fresh copy of the project, as a reader would type it."""

import json
import os
import re
import shutil
import signal
import subprocess
import time

import pytest
from PIL import Image, ImageDraw

from tests.conftest import ROOT
from tests.ports import free_port
from tests.requirements import requires
from tests.server.serving import wait_ready

requires("bash", "curl", "git", "make", "tensorflow")

README = (ROOT / "README.md").read_text("utf-8")
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / "deploy").rglob("*.md"),
]


def examples(text):
    """(command, the output shown below it) of every console block."""
    for block in re.findall(r"^```console\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        for example in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = example.partition("\n")
            yield command, output


@pytest.fixture
def clone(tmp_path):
    """A copy of all files that are not ignored. It installs its own .venv and links to the two larger environments."""
    files = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True
    )
    folder = tmp_path / "quintet"
    for name in filter(None, files.stdout.decode().split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    for environment in (".venv-dev", ".venv-train"):
        (folder / environment).symlink_to(ROOT / environment)
        os.utime(ROOT / environment / "ready")  # make must not find the copied requirements newer
    draw_photos(folder / "photos")
    return folder


def draw_photos(folder):
    """Two dozen images of each of two shapes."""
    for label, draw in (("daisy", ImageDraw.ImageDraw.ellipse), ("tulip", ImageDraw.ImageDraw.rectangle)):
        (folder / label).mkdir(parents=True)
        for number in range(24):
            image = Image.new("RGB", (160, 120), (20, 90 + 5 * number, 20))
            draw(ImageDraw.Draw(image), (20 + number, 20, 90 + number, 90), fill=(250, 200 - 5 * number, 30))
            image.save(folder / label / f"{number}.jpg")


# Without the variables that the make that runs this test passes to its children.
ENVIRON = {
    name: value for name, value in os.environ.items() if name not in ("ARGS", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")
}


class Terminal:
    """Runs the commands in `folder`. A `make run` keeps running until the next one, as in a second terminal."""

    def __init__(self, folder):
        self.folder, self.server, self.port = folder, None, None

    def run(self, command):
        """Returns what the command prints. It must exit with 0, or the server it starts must become ready."""
        if command.endswith("make run"):
            return self._start_server(command)
        command = command.replace("localhost:8080", f"127.0.0.1:{self.port}")
        if command in ("make check", "make test"):  # only print the commands, because they would run this test again
            command = f"make -n {command.removeprefix('make ')}"
        run = subprocess.run(["bash", "-c", command], cwd=self.folder, env=ENVIRON, capture_output=True, text=True)
        assert run.returncode == 0, f"{command}\n{run.stdout}\n{run.stderr}"
        return run.stdout

    def _start_server(self, command):
        self.stop()
        self.port = free_port()
        started = time.monotonic()
        self.server = subprocess.Popen(
            ["bash", "-c", command],
            cwd=self.folder,
            env=ENVIRON | {"PORT": str(self.port)},
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        wait_ready(self.port, self.server, seconds=60)
        return f"ready after {time.monotonic() - started:.1f} s"

    def stop(self):
        if self.server:
            os.killpg(self.server.pid, signal.SIGTERM)
            self.server.communicate(timeout=20)


def is_close(found, shown):
    """Whether both are the same JSON; numbers may differ by 0.02, because CPUs round differently."""
    if isinstance(shown, dict):
        return (
            isinstance(found, dict)
            and found.keys() == shown.keys()
            and all(is_close(found[key], shown[key]) for key in shown)
        )
    if isinstance(shown, list):
        return len(found) == len(shown) and all(map(is_close, found, shown))
    if isinstance(shown, float):
        return found == pytest.approx(shown, abs=0.02)
    return found == shown


def test_every_command_does_what_the_readme_says(clone):
    terminal = Terminal(clone)
    try:
        for command, shown in examples(README):
            output = terminal.run(command)
            print(f"$ {command}\n{output}", flush=True)
            if shown.startswith("{"):
                assert is_close(json.loads(output), json.loads(shown)), f"{command}\n{output}"
            elif shown:
                assert output == shown
    finally:
        terminal.stop()
    card = json.loads((clone / "model" / "fashion-mnist" / "model.json").read_text("utf-8"))
    assert card["metrics"]["accuracy"] >= 0.89
    mine = json.loads((clone / "model" / "mine" / "model.json").read_text("utf-8"))
    assert mine["metrics"]["accuracy"] == 1


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_and_every_make_target_exists(page):
    text = page.read_text("utf-8")
    assert [link for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text) if not (page.parent / link).exists()] == []
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = set(re.findall(r"`(?:[A-Z_]+=\S+ )*make ([a-z-]+)", text))
    assert named - targets == set()
