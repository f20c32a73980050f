"""The deployed programs, started from the uploaded files.

Images are not built. Their source runs as the Dockerfile would run it, with gunicorn in the project's own environment.
A start takes a second, so tests share a program that has the same files, command and settings.
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
    """Starts programs in folders below `folder`, with the folders `path` first on PATH."""

    def __init__(self, folder: Path, path: list[Path]) -> None:
        self.folder = folder
        self.path = os.pathsep.join([*map(str, path), "/usr/bin", "/bin"])
        self.running: dict[str, tuple[subprocess.Popen, int]] = {}
        self.ready: set[str] = set()

    def start(self, files: dict[str, bytes], command: str, env: dict[str, str]) -> int | None:
        """Return the port on which the program answers, or None when it ended instead."""
        fingerprint = hashlib.sha256(repr((sorted(env.items()), command)).encode())
        for name in sorted(files):
            fingerprint.update(name.encode() + b"\0" + hashlib.sha256(files[name]).digest())
        key = fingerprint.hexdigest()[:16]
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
        if key not in self.ready and answers(process, port):
            self.ready.add(key)
        return port if key in self.ready and process.poll() is None else None

    def close(self) -> None:
        for process, _ in self.running.values():
            process.terminate()
        for process, _ in self.running.values():
            process.wait(10)


def answers(process: subprocess.Popen, port: int, limit: float = 30) -> bool:
    """Wait until the program answers HTTP requests, with any status, or has ended."""
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
