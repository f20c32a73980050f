"""The commands of docs/image.md, run in the order in which they are written."""

import json
import re
import subprocess

from tests.image.container import ROOT, engine, engine_name

# If podman is the engine, the commands of docker run podman and podman-compose.
SHIM = """
docker() {
    if [ "$1" = compose ]; then shift; .venv-dev/bin/podman-compose "$@"; else podman "$@"; fi
}
"""


def test_commands_of_the_page_work():
    page = (ROOT / "docs" / "image.md").read_text()
    script = "\n".join(re.findall(r"^```sh\n(.*?)^```$", page, re.DOTALL | re.MULTILINE))
    if engine_name() == "podman":
        script = SHIM + script
    command = ["bash", "-euxc", script]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    finally:
        engine("rm", "--force", "quintet", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (answer,) = [line for line in done.stdout.splitlines() if line.startswith('{"model"')]
    assert "cat" in json.loads(answer)["predictions"][0]["label"]
