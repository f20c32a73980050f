"""The memory limit of the container that a server under test runs in."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LIMIT = 512 * 2**20  # bytes: the smallest instance of Cloud Run
BOUND = 256  # MB of PSS that the tree may take with one worker, the ImageNet bundle and photos of 4 MB
_CGROUPS = {  # where the kernel has it -> the file with the limit
    Path("/sys/fs/cgroup/memory"): "memory.limit_in_bytes",  # version 1
    Path("/sys/fs/cgroup"): "memory.max",  # version 2
}


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
