"""Memory of a server's process tree, and the limit of the container that it runs in."""

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench import processes

LIMIT = 512 * 2**20  # bytes: the smallest instance of Cloud Run
BOUND = 256  # MB of PSS that the tree may take with one worker, the ImageNet bundle and photos of 4 MB
_CGROUPS = {  # where the kernel has it -> the file with the limit
    Path("/sys/fs/cgroup/memory"): "memory.limit_in_bytes",  # version 1
    Path("/sys/fs/cgroup"): "memory.max",  # version 2
}


class Peak:
    """The largest PSS of the process tree of `pid` while the block runs, in MB. Sampled 20 times a second."""

    def __init__(self, pid: int):
        self.megabytes = processes.memory(pid)
        self._pid = pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> "Peak":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.megabytes = max(self.megabytes, processes.memory(self._pid))

    def _sample(self) -> None:
        while not self._stop.wait(0.05):
            self.megabytes = max(self.megabytes, processes.memory(self._pid))


def falls_to(pid: int, megabytes: float, seconds: float = 10) -> float:
    """Wait until the tree's PSS is at most `megabytes`, for up to `seconds`; return the last value in MB."""
    deadline = time.monotonic() + seconds
    while (found := processes.memory(pid)) > megabytes and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


@contextmanager
def limited(command: list[str]) -> Iterator[list[str]]:
    """`command` as it runs in a container with `LIMIT` of memory: in a cgroup of its own, and seeing no other.

    Yields `command` itself if this process may not create cgroups: the server then has no limit, and the tests still
    compare what it takes with `BOUND`.
    """
    root, name = next(((root, name) for root, name in _CGROUPS.items() if (root / "cgroup.procs").exists()), (None, ""))
    folder = None
    if root and os.geteuid() == 0:
        with suppress(OSError):
            folder = Path(tempfile.mkdtemp(prefix="quintet-test-", dir=root))
            (folder / name).write_text(str(LIMIT))
    if not folder or not (folder / name).exists():
        yield command
        return
    enter = f'echo $$ > "{folder}/cgroup.procs" && mount --bind "{folder}" "{root}" && exec "$@"'
    try:
        yield ["unshare", "--mount", "sh", "-c", enter, "sh", *command]
    finally:
        with suppress(OSError):
            folder.rmdir()
