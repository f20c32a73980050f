"""The programs that were deployed, started from the very files that were uploaded.

A container image's stand-in is its source, run as the Dockerfile would run it: gunicorn in the serving environment.
Starting costs a second, so a program is started once for the same files, command and settings, and shared by the tests.
"""

import hashlib
import io
import os
import subprocess
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

from tests.ports import free_port


def unpack(archive: bytes) -> dict[str, bytes]:
    """The files of a .tgz or .zip, by name."""
    if archive[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(archive)) as zipped:
            return {name: zipped.read(name) for name in zipped.namelist() if not name.endswith("/")}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {m.name.removeprefix("./"): tar.extractfile(m).read() for m in tar.getmembers() if m.isfile()}


class Workloads:
    """Starts programs below `folder`, with `bin` (an environment's bin/) first on PATH."""

    def __init__(self, folder: Path, path: list[Path]) -> None:
        self.folder = folder
        self.path = os.pathsep.join([*map(str, path), "/usr/bin", "/bin"])
        self.running: dict[str, tuple[subprocess.Popen, int]] = {}
        self.answered: set[str] = set()

    def start(self, files: dict[str, bytes], command: str, env: dict[str, str]) -> int | None:
        """Return the port on which the program answers, or None when it ended instead."""
        mark = hashlib.sha256(repr((sorted(env.items()), command)).encode())
        for name in sorted(files):
            mark.update(name.encode() + b"\0" + hashlib.sha256(files[name]).digest())
        key = mark.hexdigest()[:16]
        if key not in self.running:
            home = self.folder / key
            for name, content in files.items():
                (home / name).parent.mkdir(parents=True, exist_ok=True)
                (home / name).write_bytes(content)
            port = free_port()
            settings = {"PATH": self.path, "HOME": str(home), "PORT": str(port), "PYTHONDONTWRITEBYTECODE": "1", **env}
            with (home / "log.txt").open("wb") as log:
                shell = ["/bin/sh", "-c", f"exec {command}"]
                process = subprocess.Popen(shell, cwd=home, env=settings, stdout=log, stderr=log)
            self.running[key] = (process, port)
        process, port = self.running[key]
        if key not in self.answered and answers(process, port):
            self.answered.add(key)
        return port if key in self.answered and process.poll() is None else None

    def close(self) -> None:
        for process, _ in self.running.values():
            process.terminate()
        for process, _ in self.running.values():
            process.wait(10)


def answers(process: subprocess.Popen, port: int, limit: float = 30) -> bool:
    """Wait until the program speaks HTTP, whatever it says, or has ended."""
    end = time.monotonic() + limit
    while process.poll() is None and time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5):
                return True
        except urllib.error.HTTPError as error:
            error.close()
            return True
        except OSError:
            time.sleep(0.05)
    return False
