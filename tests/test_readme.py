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

from app.config import Config
from tests.conftest import ROOT
from tests.ports import free_port
from tests.server.serving import wait_ready

README = (ROOT / "README.md").read_text("utf-8")


def examples(text):
    """(command, the output shown below it) of every console block."""
    for block in re.findall(r"^```console\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        for example in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = example.partition("\n")
            yield command, output


@pytest.fixture
def clone(tmp_path):
    """A copy of what git knows; the training environment is lent, since it takes 2 GB, and serving makes its own."""
    files = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True
    )
    folder = tmp_path / "quintet"
    for name in filter(None, files.stdout.decode().split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv-dev").symlink_to(ROOT / ".venv-dev")
    os.utime(ROOT / ".venv-dev" / "ready")  # the copied requirements must not look newer
    photos(folder / "photos")
    return folder


def photos(folder):
    """Two dozen pictures of each of two things that look different."""
    for label, draw in (("daisy", ImageDraw.ImageDraw.ellipse), ("tulip", ImageDraw.ImageDraw.rectangle)):
        (folder / label).mkdir(parents=True)
        for number in range(24):
            picture = Image.new("RGB", (160, 120), (20, 90 + 5 * number, 20))
            draw(ImageDraw.Draw(picture), (20 + number, 20, 90 + number, 90), fill=(250, 200 - 5 * number, 30))
            picture.save(folder / label / f"{number}.jpg")


# A reader's shell knows nothing of the make that runs this test, nor of what it was given.
ENVIRON = {
    name: value for name, value in os.environ.items() if name not in ("ARGS", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")
}


class Reader:
    """Types the commands. A `make run` stays up until the next one, as in a second terminal."""

    def __init__(self, folder):
        self.folder, self.server, self.port = folder, None, None

    def type(self, command):
        if command.endswith("make run"):
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
        command = command.replace("localhost:8080", f"127.0.0.1:{self.port}")
        # The shell that runs `make test` must not run itself again: its recipe is what is looked at.
        command = "make -n test" if command == "make test" else command
        run = subprocess.run(["bash", "-c", command], cwd=self.folder, env=ENVIRON, capture_output=True, text=True)
        assert run.returncode == 0, f"{command}\n{run.stdout}\n{run.stderr}"
        return run.stdout

    def stop(self):
        if self.server:
            os.killpg(self.server.pid, signal.SIGTERM)
            self.server.communicate(timeout=20)


def close(found, shown):
    """The same JSON, up to the arithmetic of another CPU and the length of an error's text."""
    if isinstance(shown, dict):
        return (
            isinstance(found, dict) and found.keys() == shown.keys() and all(close(found[k], shown[k]) for k in shown)
        )
    if isinstance(shown, list):
        return len(found) == len(shown) and all(map(close, found, shown))
    if isinstance(shown, float):
        return found == pytest.approx(shown, abs=0.02)
    return found == shown


def test_every_command_does_what_the_readme_says(clone):
    reader = Reader(clone)
    try:
        for command, shown in examples(README):
            output = reader.type(command)
            print(f"$ {command}\n{output}", flush=True)
            if shown.startswith("{"):
                assert close(json.loads(output), json.loads(shown)), f"{command}\n{output}"
            elif shown:
                assert output == shown
    finally:
        reader.stop()
    card = json.loads((clone / "model" / "fashion-mnist" / "model.json").read_text("utf-8"))
    assert card["metrics"]["accuracy"] >= 0.89
    mine = json.loads((clone / "model" / "mine" / "model.json").read_text("utf-8"))
    assert mine["metrics"]["accuracy"] == 1


def test_settings_table_names_every_setting_with_its_default():
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| (.*?) \|", README, re.MULTILINE))
    assert rows.pop("WEB_CONCURRENCY") == "the CPUs granted"
    plain = {name.lower(): value.strip("`").replace(",", "") for name, value in rows.items()}
    assert plain == {name: str(value) for name, value in vars(Config()).items() if name != "web_concurrency"}


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_link_leads_somewhere(target):
    assert (ROOT / target).exists()
